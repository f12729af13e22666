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
"""AppExchange: calls an application, between the gate and the intake."""

import logging
from typing import Final

from ..errors import BodyTooLarge, ExchangeOver, caused_by_disconnect
from ..intake import SCOPE_KEY, Intake
from ..limits import YIELD_BYTES
from ..protocol.refusal import refusal_of
from ..protocol.response import Phase, ResponseGate
from ..stats import Outcome
from ..types import ASGIApp, Message, Receive, Scope, Send

logger: Final = logging.getLogger("asgi_bridge")

_MESSAGE_COST: Final = 4 * 1024  # what a message counts beside its bytes, see _let_others_run

# The first version of the HTTP sub-spec in which send raises after a disconnect.
SPEC_VERSION: Final = "2.4"


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
