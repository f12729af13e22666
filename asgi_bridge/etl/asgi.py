"""ASGI's loose types, and a whole response in one call."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


def header_of(scope: Scope, wanted: bytes) -> str:
    """A request header's value, empty where there is none; of a repeated one the first."""
    for name, value in scope["headers"]:
        if name == wanted:
            text: str = value.decode("latin-1")
            return text
    return ""


def announces_body(scope: Scope) -> bool:
    """Whether a request's head says that a body follows."""
    length = header_of(scope, b"content-length")
    return length not in ("", "0") or bool(header_of(scope, b"transfer-encoding"))


async def start_response(send: Send, status: int, headers: Mapping[str, str]) -> None:
    """Send a response's head."""
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})


async def send_chunk(send: Send, chunk: bytes, *, last: bool) -> None:
    """Send a part of a response's body."""
    await send({"type": "http.response.body", "body": chunk, "more_body": not last})


async def respond(send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    """Send a whole response, with its length unless its status forbids that."""
    length = {} if status in (204, 304) else {"content-length": str(len(body))}
    await start_response(send, status, {**headers, **length})
    await send_chunk(send, body, last=True)


async def respond_with(send: Send, content_type: str, body: bytes) -> None:
    """Send a whole object, in fewer steps than `respond`."""
    headers = [
        (b"content-type", content_type.encode("latin-1")),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
