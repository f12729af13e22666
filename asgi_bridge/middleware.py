# One HTTP request and its response, between a server and any application.
#
# Rule 1: the start is held until there is content to go with it (protocol/response.py).
# Rule 2: receive() has one owner (intake/pump.py).
# Rule 3: the application is told of ASGI HTTP 2.4 and gets what that promises: once the client is
#         known to be gone, send raises an OSError. No server of today does that (measured), and
#         frameworks that are told less listen for the disconnect themselves and steal the body.
# Rule 4: nothing is sent to a server after the disconnect; some leak each message, one hangs.
# Rule 5: what is raised because the client left ends here, with a line in the log. Everything
#         else goes on to the server, and so does every failure after the start.
"""BridgeMiddleware and open_body: the bridge around an application."""

import logging
import time
from collections.abc import Callable
from typing import Any, Final, Literal, overload

from .crossing.portal import current_portal
from .errors import BodyTooLarge, BridgeNotInstalled, ExchangeOver, caused_by_disconnect
from .intake import SCOPE_KEY, Intake
from .limits import YIELD_BYTES, Limits
from .protocol.refusal import refusal_of
from .protocol.response import Phase, ResponseGate
from .reader import BodyReader
from .single import single_callable
from .spool import SpooledReader
from .stats import ExchangeStats, Outcome
from .types import ASGIApp, Message, Receive, Scope, Send

logger: Final = logging.getLogger("asgi_bridge")

OnExchangeEnd = Callable[[ExchangeStats], None]

_MESSAGE_COST: Final = 4 * 1024  # what a message counts beside its bytes, see _let_others_run

# The first version of the HTTP sub-spec in which send raises after a disconnect.
SPEC_VERSION: Final = "2.4"


class BridgeMiddleware:
    """A raw ASGI callable around any ASGI application.

    Args:
        app: the application, of ASGI 3, or of ASGI 2 with its two calls.
        limits: bounds on memory and time, see `Limits`.
        on_exchange_end: called after each HTTP exchange with its `ExchangeStats`, on the event
            loop, so it must not block. What it raises goes into the log and nowhere else.

    Around itself, directly or with other middleware in between, it stands aside: the outer one
    does the work, and the inner one only steps in where something in between replaced `receive`.

    Scopes other than `http` pass through untouched.
    """

    def __init__(
        self,
        app: ASGIApp | Any,
        *,
        limits: Limits | None = None,
        on_exchange_end: OnExchangeEnd | None = None,
    ) -> None:
        self.app: ASGIApp = single_callable(app)
        self._limits = Limits() if limits is None else limits
        self._on_exchange_end = on_exchange_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        outer = scope.get(SCOPE_KEY)
        if outer is not None and outer.reuses(receive):
            await self.app(scope, receive, send)
            return
        intake = Intake(scope, receive, self._limits, current_portal())
        exchange = AppExchange(intake, send, method=scope["method"])
        if self._on_exchange_end is None:
            await exchange.run(self.app, scope)
        else:
            await run_counted(exchange, self.app, scope, self._on_exchange_end)


class AppExchange:
    """One request on its way through an application.

    Attributes:
        gate: how far the response has got.
        intake: the owner of the server's receive().
        send_to: the server's send.
    """

    _unyielded = 0  # bytes passed on since the loop's other tasks had their turn

    def __init__(self, intake: Intake, send: Send, *, method: str) -> None:
        self.intake = intake
        self.gate = ResponseGate(head_request=method == "HEAD")
        self.send_to = send

    async def run(self, app: ASGIApp, scope: Scope) -> Outcome:
        """Call the application, and see its response to its end.

        Returns:
            COMPLETE, CLIENT_GONE, or FAILED for an application that answered nothing.

        Raises:
            BaseException: what the application raised, unless the client's leaving caused it.
        """
        intake, gate = self.intake, self.gate
        inner = {**scope, SCOPE_KEY: intake}
        asgi = scope.get("asgi", {})
        if asgi.get("spec_version", "2.0") < SPEC_VERSION:
            inner["asgi"] = {"version": "3.0", **asgi, "spec_version": SPEC_VERSION}
        reason: BaseException | None = None
        if intake.declared_too_long:
            app = too_large
        try:
            await app(inner, intake.receive, self.send)
            if gate.phase is not Phase.COMPLETE:
                await self._finish()
        except BaseException as error:
            if intake.client_gone:
                reason = intake.gone_error()
            else:
                reason = ExchangeOver(f"the exchange ended early: {error!r}")
            if not isinstance(error, Exception) or not caused_by_disconnect(error):
                raise
            logger.info("%s %s: %s", scope["method"], scope["path"], reason)
        finally:
            if intake.untouched:
                if gate.phase is not Phase.COMPLETE:
                    intake.response_complete()  # whoever claims the body from now on is too late
            else:
                await intake.close(reason or ExchangeOver("the exchange is over"))
        if gate.phase is Phase.COMPLETE:
            return Outcome.COMPLETE
        return Outcome.CLIENT_GONE if intake.client_gone else Outcome.FAILED

    async def send(self, message: Message) -> None:
        """The application's `send`.

        Raises:
            ClientDisconnected: the client is known to be gone; nothing was passed on.
            ResponseOrderError: ASGI does not allow this message now; nothing was passed on.
            LengthMismatch: it breaks the promise of the content-length; nothing was passed on.
        """
        if self.intake.client_gone:
            raise self.intake.gone_error()
        released = self.gate.feed(message)
        if released:
            await self._release(released)

    async def _release(self, released: tuple[Message, ...]) -> None:
        """Pass messages on to the server, with what has to be done before and after them."""
        intake, phase = self.intake, self.gate.phase
        if phase is Phase.STREAMING and released[0]["type"] == "http.response.start":
            await self._listen(released[0]["status"])
        elif phase is Phase.COMPLETE and intake.unread:
            await intake.drain()
        intake.sends += 1  # a send that takes long may be one that waits for the client's upload
        try:
            for each in released:
                size = len(each.get("body", b""))
                if size > intake.limits.message_bytes:
                    await self._send_pieces(each)
                else:
                    await self.send_to(each)
            intake.sends += 1
        except OSError as error:
            intake.client_left(f"the client went away: {error}")
            raise intake.gone_error() from error
        if phase is Phase.COMPLETE:
            intake.response_complete()
        else:
            await self._let_others_run(size)

    async def _send_pieces(self, message: Message) -> None:
        """Pass on a large body in messages of the size that `Limits` allows.

        Servers hold a number of messages of any size for a client that is slow (protocol/pieces).
        """
        if not self.intake.framing.expects_continue:
            self.intake.watch()
        whole, limit = memoryview(message["body"]), self.intake.limits.message_bytes
        for begin in range(0, len(whole), limit):
            piece = bytes(whole[begin : begin + limit])
            more_body = begin + limit < len(whole) or message.get("more_body", False)
            if self.intake.client_gone:
                raise self.intake.gone_error()
            await self.send_to({**message, "body": piece, "more_body": more_body})
            await self._let_others_run(len(piece))

    async def _let_others_run(self, size: int) -> None:
        """Give the loop's other tasks a turn now and then: a server's send() may never suspend.

        Measured: 200 sends to servers of three kinds, and no other task ran meanwhile, so not even
        the disconnect could be noticed.
        """
        # a message costs as much as some bytes do, so a stream of tiny ones comes to it as well
        self._unyielded += size + _MESSAGE_COST
        if self._unyielded >= YIELD_BYTES:
            self._unyielded = 0
            await self.intake.portal.checkpoint()

    async def _listen(self, status: int) -> None:
        """The response streams: see that the disconnect is noticed, and the body invited."""
        intake = self.intake
        if not intake.framing.expects_continue:
            intake.watch()
            if intake.limits.duplex == "half":
                await intake.until_sent()
        elif status < 300:
            # Servers drop the 100 once the response has begun, so an application that streams a
            # success, and may yet read, has its body invited now. A refusal does not want it.
            await intake.invite()
            intake.watch()

    async def _finish(self) -> None:
        """The application returned without a complete response."""
        if self.intake.client_gone:
            return  # it noticed, and stopped
        released = self.gate.finish()
        if released:
            await self._release(released)


async def too_large(scope: Scope, receive: Receive, send: Send) -> None:
    """What answers instead of an application that takes no body of the declared length."""
    refusal = refusal_of(BodyTooLarge(scope[SCOPE_KEY].limits.max_body_bytes))
    await send(
        {"type": "http.response.start", "status": refusal.status, "headers": refusal.headers}
    )
    await send(
        {"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else refusal.body}
    )


async def run_counted(
    exchange: AppExchange, app: ASGIApp, scope: Scope, on_end: OnExchangeEnd
) -> None:
    """Run an exchange, then tell `on_end` what it came to."""
    began = time.perf_counter()
    sent_bytes = 0
    status: int | None = None
    send = exchange.send_to

    async def counted(message: Message) -> None:
        nonlocal sent_bytes, status
        await send(message)
        if message["type"] == "http.response.start":
            status = message["status"]
        sent_bytes += len(message.get("body", b""))

    exchange.send_to = counted
    outcome = Outcome.CANCELLED
    try:
        outcome = await exchange.run(app, scope)
    except Exception:
        outcome = Outcome.FAILED
        raise
    finally:
        stats = ExchangeStats(
            method=scope["method"],
            path=scope["path"],
            status=status,
            received_bytes=exchange.intake.body.received,
            sent_bytes=sent_bytes,
            duration=time.perf_counter() - began,
            outcome=outcome,
        )
        try:
            on_end(stats)
        except Exception:
            logger.exception("on_exchange_end failed for %s %s", stats.method, stats.path)


@overload
def open_body(scope: Any, *, spool: Literal[False] = ...) -> BodyReader: ...
@overload
def open_body(scope: Any, *, spool: Literal[True]) -> SpooledReader: ...
def open_body(scope: Any, *, spool: bool = False) -> BodyReader | SpooledReader:
    """Claim a request's body and read it as a blocking binary file.

    From then on the application's own `receive` yields only `http.disconnect`.

    Args:
        scope: an ASGI scope, or anything with one as its `.scope`, such as the request objects of
            Starlette, FastAPI and Litestar.
        spool: keep what has been read in a temporary file, on disk when it is large, so that the
            reader can seek.

    Raises:
        BridgeNotInstalled: the scope came through no `BridgeMiddleware` and no `handler`.
        BodyAlreadyClaimed: there is a reader, or the application has read from it itself.

    Threads: any. The reader itself only works off the event loop's thread.
    """
    if not isinstance(scope, dict):
        scope = getattr(scope, "scope", scope)
    intake = scope.get(SCOPE_KEY)
    if not isinstance(intake, Intake):
        raise BridgeNotInstalled(
            "no BridgeMiddleware has seen this request; wrap the application: "
            "app = BridgeMiddleware(app)"
        )
    intake.claim()
    body = intake.reader()
    return SpooledReader(body, intake.limits.spool_max_bytes) if spool else body
