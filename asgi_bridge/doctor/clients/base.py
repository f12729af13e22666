"""What a check needs of a client, whatever the protocol. asyncio only."""

import asyncio
import ssl
from collections.abc import Sequence
from typing import Protocol

Headers = Sequence[tuple[str, str]]

# Bytes that a client reads or writes at a time. Out of the air.
BLOCK = 64 * 1024

# Seconds that a server has to say goodbye over TLS, too; some never do. Out of the air.
GOODBYE = 0.5


class Broken(Exception):
    """The connection or the stream ended in the middle of something."""


class Garbled(Broken):
    """What came is no head and no chunk, but most likely a part of another answer."""


class Exchange(Protocol):
    """One request and its response.

    Attributes:
        headers: those of the response's head, once `head` has returned; names in lower case.
    """

    headers: dict[str, str]

    async def send(self, chunk: bytes) -> None:
        """Send some of the request's body.

        Raises:
            Broken: the server does not listen any more.
        """

    async def end(self) -> None:
        """End the request's body."""

    async def continued(self) -> bool:
        """Wait for the first head: True for a 100, False for that of the response itself."""

    async def head(self) -> int:
        """Wait for the response's head; return its status.

        Raises:
            Broken: there is none.
        """

    async def read(self) -> bytes:
        """Wait for more of the response's body; b"" is its end, as the protocol marks it.

        Raises:
            Broken: it ended in another way.
        """

    async def leave(self) -> None:
        """Have nothing more to do with it, at once: close the connection or reset the stream."""


class Connection(Protocol):
    """One connection to a server.

    Attributes:
        multiplexed: several exchanges may run at the same time.
    """

    multiplexed: bool

    async def request(
        self,
        method: str,
        path: str,
        *,
        length: int | None = None,
        headers: Headers = (),
    ) -> Exchange:
        """Send a request's head.

        Args:
            method: a GET or a HEAD has no body, all others have.
            path: with the query.
            length: bytes of its body that are declared; None for no declaration.
            headers: further ones.
        """

    async def close(self) -> None:
        """Close it; what runs on it is cut."""


async def rest(exchange: Exchange) -> bytes:
    """Read a response's body to its end.

    Raises:
        Broken: it has none.
    """
    parts = []
    while chunk := await exchange.read():
        parts.append(chunk)
    return b"".join(parts)


async def exactly(exchange: Exchange, count: int) -> bytes:
    """Read so many bytes, or fewer if the body ends."""
    seen = b""
    while len(seen) < count and (chunk := await exchange.read()):
        seen += chunk
    return seen


def has_body(method: str) -> bool:
    return method not in ("GET", "HEAD")


async def connected(
    port: int, tls: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Both ends of a connection to this machine."""
    if tls is None:
        return await asyncio.open_connection("127.0.0.1", port)
    return await asyncio.open_connection(
        "127.0.0.1", port, ssl=tls, server_hostname="localhost", ssl_shutdown_timeout=GOODBYE
    )
