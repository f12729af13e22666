# A server that forgets the stream of an application that has failed: Hypercorn in HTTP/2 and in
# HTTP/3, which is known by its offer of server push.
#
# Rule 1: it neither ends nor resets the stream, so a client would wait for ever. Where fewer bytes
#         were sent than declared, an end is a failure to every client (RFC 9113, 8.1.1; RFC 9114,
#         4.1.2), so the end is sent. Elsewhere it would look like success, and is not.
# Rule 2: what still comes for a forgotten stream breaks the whole connection, and in HTTP/3 the
#         server. So the upload is taken in first, within the bounds of a drain.
# Rule 3: its own 500 has a header that HTTP/3 forbids, and breaks the connection there. Ours goes
#         out in its place.
# Rule 4: it passes on what HTTP/3 forbids in an application's headers, too, and strict clients
#         close the connection for that. Names in capitals (ASGI wants none either, some frameworks
#         send them) go out in small letters, and what is of HTTP/1.1's framing does not.
# Rule 5: what the application raised is the server's to log, whatever becomes of all this.
"""on_forgetful: has a client told of a failure that its server would not tell it of."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import anyio

from ..limits import Limits
from ..protocol.refusal import refusal_of
from ..protocol.request import announces_body, framing_of, keep_headers
from ..types import ASGIApp, Message, Receive, Scope, Send

_FAILED: Final = refusal_of(RuntimeError())  # says nothing of its cause


# RFC 9114, 4.2. In HTTP/2 the server leaves them out by itself.
_OF_ONE_CONNECTION: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)

# What a scope carries that somebody watches over already.
_WATCHED: Final = "asgi_bridge.watched"


def forgets_streams(scope: Scope) -> bool:
    """Whether the server is one of those, and nobody watches over this exchange yet."""
    return "http.response.push" in (scope.get("extensions") or ()) and _WATCHED not in scope


async def on_forgetful(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send, limits: Limits
) -> None:
    """Call an application, and see that its client learns of a failure, where there is a way.

    Args:
        app: what serves the scope.
        scope: one of HTTP, for which `forgets_streams`.
        receive: the server's callable.
        send: likewise.
        limits: how much of an upload is taken in, and for how long.

    Raises:
        BaseException: what the application raised.
    """
    if not isinstance(scope.get("headers"), list):
        keep_headers(scope)
    exchange = Watched(scope, receive, send)
    scope[_WATCHED] = True
    try:
        await app(scope, exchange.receive, exchange.send)
    except Exception:
        await exchange.fail(limits)
        raise
    finally:
        scope.pop(_WATCHED, None)
    if not exchange.complete:
        await exchange.fail(limits)  # what was not begun the server answers, too, with its own 500


class Watched:
    """The server's two callables, and what has passed through them.

    Attributes:
        started: whether the response has.
        complete: whether all of it has passed.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._version: str = scope["http_version"]
        self._head_request = scope["method"] == "HEAD"
        self._receive = receive
        self._send = send
        self.started = self.complete = False
        self._over = False  # the response is complete, or nobody is there for it
        self._missing: int | None = None  # bytes that were declared and not sent
        # whether more of the request is to come
        self._coming = announces_body(scope) and not framing_of(scope["headers"]).expects_continue
        self._received = 0

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._over, self._coming = True, False
        else:
            self._received += len(message.get("body", b""))
            self._coming = message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        match message["type"]:
            case "http.response.start":
                self.started = True
                bodiless = self._head_request or message["status"] in (204, 304)
                if not (bodiless or message.get("trailers")):
                    self._missing = framing_of(message.get("headers", ())).length
                if self._version[:1] == "3":
                    message = {**message, "headers": allowed(message.get("headers", ()))}
            case "http.response.body":
                if self._missing is not None:
                    self._missing -= len(message.get("body", b""))
                self._over = self.complete = not message.get("more_body", False)
        await self._send(message)

    async def fail(self, limits: Limits) -> None:
        """Do what can be done for the client, within bounds."""
        with suppress(Exception):
            with anyio.move_on_after(limits.drain_timeout):
                bound = self._received + limits.drain_bytes
                while self._coming and self._received < bound:
                    await self.receive()
            with anyio.move_on_after(limits.abandon_timeout):
                for message in self._last_words():
                    await self._send(message)

    def _last_words(self) -> tuple[Message, ...]:
        end = {"type": "http.response.body", "body": b"", "more_body": False}
        if self._over:
            return ()
        if self.started:
            return (end,) if self._missing else ()
        if self._version[:1] == "2":
            return ()  # there its own 500 is as it should be
        return (_FAILED.start, end if self._head_request else {**end, "body": _FAILED.body})


def allowed(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """A response's headers as HTTP/3 wants them."""
    named = [(name.lower(), value) for name, value in headers]
    return [(name, value) for name, value in named if name not in _OF_ONE_CONNECTION]
