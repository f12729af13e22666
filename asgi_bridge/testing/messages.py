"""What goes in and out of a scripted exchange: scopes, messages, and DISCONNECT."""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Final, TypeAlias, TypedDict, Unpack
from urllib.parse import quote

from ..types import Message, Scope


class _Disconnect(Enum):
    """The type of DISCONNECT: an enum, so that type checkers can tell it from a message."""

    DISCONNECT = "http.disconnect"


# The client leaves: this receive() and every later one say http.disconnect. A script that wants
# to tell it once only, as hypercorn does, has the message {"type": "http.disconnect"} instead.
DISCONNECT: Final = _Disconnect.DISCONNECT

Scripted: TypeAlias = Message | Exception | _Disconnect


class ScopeOptions(TypedDict, total=False):
    """The keyword arguments of `scope_for`."""

    method: str
    path: str
    query_string: bytes
    headers: Iterable[tuple[bytes, bytes]]
    spec_version: str | None
    extensions: Mapping[str, Any] | None
    state: Mapping[str, Any] | None


def scope_for(**options: Unpack[ScopeOptions]) -> Scope:
    """Make an HTTP scope as a server would.

    Args:
        **options: all of them optional.
            `method`: "PUT" by default.
            `path`: decoded, without the query string; "/" by default.
            `query_string`: percent-encoded bytes, without the question mark.
            `headers`: pairs of lower-case names and values. None are added.
            `spec_version`: "2.3" by default, which most servers say; None leaves it out, as
            daphne does.
            `extensions`, `state`: None leaves the key out, as some servers do.

    Returns:
        A new scope; headers, extensions and state are copies.
    """
    path = options.get("path", "/")
    scope: Scope = {
        "type": "http",
        "asgi": _present(version="3.0", spec_version=options.get("spec_version", "2.3")),
        "http_version": "1.1",
        "method": options.get("method", "PUT"),
        "scheme": "http",
        "path": path,
        "raw_path": quote(path).encode(),
        "query_string": options.get("query_string", b""),
        "root_path": "",
        "headers": list(options.get("headers", ())),
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
    }
    optional = _present(extensions=options.get("extensions"), state=options.get("state"))
    scope.update((key, dict(value)) for key, value in optional.items())
    return scope


def request(chunk: bytes = b"", *, more_body: bool = False) -> Message:
    """Make an `http.request` message."""
    return {"type": "http.request", "body": chunk, "more_body": more_body}


def start(status: int = 200, headers: Iterable[tuple[bytes, bytes]] = ()) -> Message:
    """Make an `http.response.start` message."""
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(chunk: bytes = b"", *, more_body: bool = False) -> Message:
    """Make an `http.response.body` message."""
    return {"type": "http.response.body", "body": chunk, "more_body": more_body}


_DEFAULTS: Final[Mapping[str, Message]] = {
    "http.response.start": {"headers": ()},
    "http.response.body": {"body": b"", "more_body": False},
}


def recorded(message: Message) -> Message:
    """Copy what an app sent, in one spelling.

    Args:
        message: the app's own; it may change it, or a buffer in it, as soon as `send` returns.

    Returns:
        A copy with the spec's defaults filled in, headers as a list of pairs and the body as
        bytes, so that it equals what `start` or `body` make however the app wrote it.

    Raises:
        TypeError: the body is not bytes-like.
    """
    copy = {**_DEFAULTS.get(message["type"], {}), **message}
    if "headers" in copy:
        copy["headers"] = [(name, value) for name, value in copy["headers"]]
    if "body" in copy:
        copy["body"] = memoryview(copy["body"]).tobytes()
    return copy


def is_last(message: Message, *, trailers: bool) -> bool:
    """Tell whether a message completes its response.

    Args:
        message: what the app sent.
        trailers: whether its start has announced trailers.
    """
    match message["type"]:
        case "http.response.trailers":
            return not message.get("more_trailers", False)
        case "http.response.body" | "http.response.zerocopysend" | "http.response.pathsend":
            return not (trailers or message.get("more_body", False))
        case _:
            return False


def _present(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
