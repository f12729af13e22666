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
# Rule 6: a request that our limits refuse is answered with its own status, where nothing was sent:
#         instead of the failure that the application, or its framework, makes of it.
"""AppExchange: calls an application, between the gate and the intake."""

import logging
from typing import Final

import anyio

from ..crossing.portal import Running
from ..errors import (
    BodyTooLarge,
    ExchangeOver,
    ReadTimeout,
    ServerShutdown,
    SpoolFull,
    TotalTimeout,
    caused_by,
    caused_by_disconnect,
)
from ..intake import SCOPE_KEY, Intake
from ..limits import YIELD_BYTES
from ..protocol.refusal import refusal_of
from ..protocol.response import ClosedGate, Phase, ResponseGate
from ..stats import Outcome
from ..types import ASGIApp, Message, Scope, Send
from .patience import be_patient

logger: Final = logging.getLogger("asgi_bridge")

# A global is found in half the time of an enum's member.
_COMPLETE: Final = Phase.COMPLETE

_MESSAGE_COST: Final = 4 * 1024  # what a message counts beside its bytes, see _let_others_run

# How a framework answers an exception that it knows nothing of.
_FAILURES: Final = frozenset((400, *range(500, 600)))

# Nothing of the response has gone to the server.
_UNSENT: Final = (Phase.INITIAL, Phase.HELD)

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
    _listens = False  # the response streams, so its sends may be aborted
    _patience: Running | None = None  # notices that a send is stuck
    _sending: anyio.CancelScope | Running | None = None  # a send that may never return
    _cut: BaseException | None = None  # why the exchange was aborted

    def __init__(self, intake: Intake, send: Send, *, method: str) -> None:
        self.intake = intake
        self.gate = ResponseGate(head_request=method == "HEAD")
        self.send_to = send

    async def run(self, app: ASGIApp, scope: Scope) -> Outcome:
        """Call the application, and see its response to its end.

        Returns:
            COMPLETE, CLIENT_GONE, or FAILED for an application that answered nothing.

        Raises:
            BaseException: what the application raised, unless the client's leaving caused it, or
                it came of a request that was refused; and why the exchange was cut.
        """
        intake = self.intake
        inner = {**scope, SCOPE_KEY: intake}
        asgi = scope.get("asgi", {})
        if asgi.get("spec_version", "2.0") < SPEC_VERSION:
            inner["asgi"] = {"version": "3.0", **asgi, "spec_version": SPEC_VERSION}
        reason: BaseException | None = None
        shutdown = intake.portal.shutdown
        shutdown.add(self)
        try:
            if intake.declared_too_long:
                await self._refuse(BodyTooLarge(intake.limits.max_body_bytes or 0))
            elif intake.limits.total_timeout is None:
                await app(inner, intake.receive, self.send)
            else:
                await self._call_in_time(app, inner, intake.limits.total_timeout)
            if self.gate.phase is not _COMPLETE:
                await self._finish()
        except BaseException as error:
            if intake.client_gone:
                reason = intake.gone_error()
            else:
                over = ExchangeOver(f"the exchange ended early: {error!r}")
                reason = shutdown.reason(error) or over
            await self._settle(error)
        finally:
            shutdown.discard(self)
            if self._patience is not None:
                self._patience.cancel()
            if intake.untouched:
                if self.gate.phase is not _COMPLETE:
                    intake.response_complete()  # whoever claims the body from now on is too late
            else:
                reason = reason or ExchangeOver("the exchange is over")
                await intake.close(reason, failed=self.gate.phase is not _COMPLETE)
        if self.gate.phase is _COMPLETE:
            return Outcome.COMPLETE
        return Outcome.CLIENT_GONE if intake.client_gone else Outcome.FAILED

    async def send(self, message: Message) -> None:
        """The application's `send`.

        Raises:
            ClientDisconnected: the client is known to be gone; nothing was passed on.
            ResponseOrderError: ASGI does not allow this message now; nothing was passed on.
            LengthMismatch: it breaks the promise of the content-length; nothing was passed on.
            WriteTimeout: the client took nothing for `Limits.write_timeout` seconds.
            ServerShutdown: the server shuts down, and the response streams.
            SpoolFull: a part of the request is lost, and the exchange is cut.
        """
        if self.intake.client_gone:
            self._end_unheard(message)
            return
        if message["type"] == "http.response.start" and message["status"] in _FAILURES:
            refusal = self.intake.refusal
            if refusal is not None and self.gate.phase is Phase.INITIAL:
                await self._refuse(refusal)
                return
        gate = self.gate
        released = gate.feed(message)
        if not released:
            return
        if gate.phase is _COMPLETE:
            await self._complete(released)
        else:
            await self._release(released)

    def _end_unheard(self, message: Message) -> None:
        """Take a message that nobody is there for, where the client has had all of its response.

        A client that knows the length leaves when it has so much, which may be before the
        application has said that it is over. That is no failure, to skip what is done afterwards.
        """
        is_end = message["type"] == "http.response.body" and not message.get("more_body")
        if not (is_end and self.gate.delivered):
            raise self.intake.gone_error()
        self.gate.feed(message)

    async def _release(self, released: tuple[Message, ...]) -> None:
        """Pass messages on to the server, with what has to be done before and after them."""
        intake = self.intake
        first = released[0]
        begins = self.gate.phase is Phase.STREAMING and first["type"] == "http.response.start"
        if begins:
            await self._listen(first["status"])
        if not self._listens:
            await self._forward(released)
        else:
            await self._forward_patiently(released)
        if begins:
            intake.on_gone(self._client_gone)
        await self._let_others_run(len(released[-1].get("body", b"")))

    async def _complete(self, released: tuple[Message, ...]) -> None:
        """`_release`, with the last message."""
        intake = self.intake
        if intake.unread:
            await intake.drain()
        if not self._listens:
            # most sends return at once; what has to wait is watched over, like a stream
            if not await intake.portal.run_here(self._forward(released), self._wait_for):
                assert self._cut is not None, "only _abort stops it"
                raise self._cut
        else:
            # Some servers tell of the disconnect while they send the last message; to cancel that
            # would break off their work on the connection. Only its timeout may.
            intake.on_gone(None)
            await self._forward_patiently(released)
        intake.response_complete()

    def _wait_for(self, sending: Running) -> None:
        self._sending = sending
        self._patience = be_patient(self.intake, self._abort)

    async def _forward(self, released: tuple[Message, ...]) -> None:
        intake = self.intake
        # A send that takes long may be one that waits for the client's upload. A handler in here
        # counts its own, and twice would be never odd.
        counts = intake.sends % 2 == 0
        intake.sends += counts
        try:
            for each in released:
                if len(each.get("body", b"")) > intake.limits.message_bytes:
                    await self._send_pieces(each)
                else:
                    await self.send_to(each)
            intake.sends += counts
        except OSError as error:
            intake.client_left(f"the client went away: {error}")
            raise intake.gone_error() from error

    async def _forward_patiently(self, released: tuple[Message, ...]) -> None:
        """`_forward`, which ends when the exchange is aborted."""
        if self._cut is None:
            with anyio.CancelScope() as self._sending:
                await self._forward(released)
            if not self._sending.cancelled_caught:
                return
        assert self._cut is not None, "only _abort cancels it"
        raise self._cut

    def _abort(self, error: Exception) -> None:
        """Let go the application that waits in a send which may never return."""
        self._cut = self._cut or error
        if self._sending is not None:
            self._sending.cancel()

    @property
    def shutdown_timeout(self) -> float | None:
        """As `Limits` have it."""
        return self.intake.limits.shutdown_timeout

    def shut_down(self, error: ServerShutdown) -> None:
        """Let go whoever waits, in a send, in the application's receive, or in a read."""
        self.intake.end(error)
        self._abort(error)

    def _client_gone(self) -> None:
        self._abort(self.intake.gone_error())

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
        self._listens = True
        intake.on_cut(self._abort)
        self._patience = be_patient(intake, self._abort)
        if not intake.framing.expects_continue:
            intake.watch()
            if intake.limits.duplex == "half":
                await self._until_sent()
        elif status < 300:
            # Servers drop the 100 once the response has begun, so an application that streams a
            # success, and may yet read, has its body invited now. A refusal does not want it.
            await intake.invite()
            intake.watch()

    async def _until_sent(self) -> None:
        try:
            await self.intake.until_sent()
        except (ReadTimeout, SpoolFull) as error:
            self.intake.refused = error
            await self._refuse(error)
            raise

    async def _call_in_time(self, app: ASGIApp, scope: Scope, seconds: float) -> None:
        """Call the application, and cancel it when its time has run out."""
        intake = self.intake
        with anyio.move_on_after(seconds) as time:
            await app(scope, intake.receive, self.send)
        if time.cancelled_caught:
            intake.refused = error = TotalTimeout(f"the exchange took longer than {seconds} s")
            raise error

    async def _settle(self, error: BaseException) -> None:
        """See to what the application raised; raise it unless it ends here."""
        intake, refusal = self.intake, self.intake.refusal
        if not isinstance(error, Exception):
            raise error
        if refusal is not None and self.gate.phase in _UNSENT and caused_by(error, refusal):
            await self._refuse(refusal)
        if refusal is not None and self.gate.phase is _COMPLETE and caused_by(error, refusal):
            if not isinstance(refusal, ServerShutdown):  # which is logged
                logger.info("%s: %s", intake, refusal)
            refusal.__traceback__ = None  # see answer.py
        elif self._cut is not None and not intake.client_gone:
            raise self._cut.with_traceback(None) from None  # whatever was made of it
        elif caused_by_disconnect(error):
            logger.info("%s: %s", intake, intake.gone_error() if intake.client_gone else error)
        else:
            await self._leave_answer()
            raise error

    async def _refuse(self, error: Exception) -> None:
        """Answer in the application's stead, which has nothing sent yet."""
        refusal = refusal_of(error)
        self._cut = None  # what it was cut for is answered now
        self.gate = gate = ResponseGate(head_request=self.intake.method == "HEAD")
        start = gate.feed(refusal.start)
        last = gate.feed({"type": "http.response.body", "body": refusal.body})
        await self._complete((*start, *last))
        self.gate = ClosedGate()

    async def _finish(self) -> None:
        """The application returned without a complete response."""
        if self.intake.client_gone:
            return  # it noticed, and stopped
        released = self.gate.finish()
        if released:
            await self._complete(released)
        else:
            await self._leave_answer()

    async def _leave_answer(self) -> None:
        """The server is about to answer by itself, if nothing was sent: take the upload in."""
        if self.gate.phase in _UNSENT and self.intake.unread:
            await self.intake.drain()
