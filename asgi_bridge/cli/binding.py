"""The listening socket, made before any server so that a taken port is known at once."""

import errno
import os
import socket

from .errors import CommandError

# The kernel's own bound on Linux, somaxconn, to which it cuts larger ones: a crowd that connects at
# once is to wait, and not to knock again a second later.
BACKLOG = 4096

HINTS = {
    errno.EADDRINUSE: "another process has it; choose another port, or 0 for any free one",
    errno.EACCES: "not permitted; ports below 1024 are root's on most systems",
    errno.EPERM: "not permitted",
    errno.EADDRNOTAVAIL: "this machine has no such address",
}


def parse_bind(text: str) -> tuple[str, int]:
    """Split `HOST:PORT` or `[IPV6]:PORT`.

    Raises:
        ValueError: the text is neither.
    """
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"an IPv6 address stands in brackets, as in [::1]:8000, not {text!r}")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"HOST:PORT with a port of 0 to 65535, not {text!r}")
    return host, int(port)


def bind(host: str, port: int) -> socket.socket:
    """Return a TCP socket bound to the address, not listening yet.

    Args:
        host: a name, or an IPv4 or IPv6 address.
        port: 0 for any free one.

    Raises:
        CommandError: the name cannot be resolved or the address cannot be had.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:  # UnicodeError: an empty or overlong label
        reason = error.strerror if isinstance(error, OSError) else error
        raise CommandError(f"cannot resolve the host {host!r}: {reason}") from error
    family, kind, protocol, _, address = found[0]
    # Its protocol is a plain 0 if left out, and asyncio then sets no TCP_NODELAY on connections.
    bound = socket.socket(family, kind, protocol)
    try:
        # A port whose last connections are in TIME_WAIT is free; one with a listener is not.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        hint = HINTS.get(error.errno or 0, os.strerror(error.errno or 0))
        raise CommandError(f"cannot bind {host}:{port}: {hint}") from error
    return bound


def url_of(bound: socket.socket) -> str:
    """The http URL of a bound socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
