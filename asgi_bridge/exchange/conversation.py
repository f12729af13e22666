# One HTTP request and its response, once more happens than a short answer.
#
# Rule 1: receive() has one owner (intake/pump.py), and so has send (passing.py).
# Rule 2: what is raised because the client left ends here, with a line in the log. Everything
#         else goes on to the server, and so does every failure after the start.
# Rule 3: a request that our limits refuse is answered with its own status, where nothing was sent:
#         instead of the failure that the application, or its framework, makes of it.
"""Conversation: an application between the gate and the intake."""

from typing import Any, Final

import anyio

from ..crossing.portal import RunningHere
from ..errors import (
    BodyTooLarge,
    ExchangeOver,
    ServerShutdown,
    TotalTimeout,
    behind_departure,
    is_departure,
)
from ..logs import logger
from ..protocol.response import Phase
from ..stats import Outcome
from ..types import Receive, Scope
from .passing import COMPLETE, STREAMING, Passing

# Nothing of the response has gone to the server.
_UNSENT: Final = (Phase.INITIAL, Phase.HELD)


class Conversation(Passing):
    """An exchange in which the application may read, stream, fail, or be cut off."""

    _early: RunningHere | None = None  # a send that was under way before us, and has to wait
    _counts = False  # that send is counted in the intake's
    _reason: BaseException | None = None  # what a reader meets that outlives the exchange

    async def call(self, app: Any, scope: Scope, receive: Receive) -> Any:
        """Call the application, where the request's head does not refuse it, and in its time.

        Raises:
            TotalTimeout: its time has run out.
            BaseException: what the application raised.

        Returns:
            What the application returned.
        """
        intake = self.intake
        seconds = intake.limits.total_timeout
        if intake.declared_too_long:
            await self._refuse(BodyTooLarge(intake.limits.max_body_bytes or 0))
            return None
        with anyio.move_on_after(seconds) as self._call:
            return await app(scope, receive, self.send)
        if self._stops and intake.client_gone:
            intake.told = True
            intake.log_departure(intake.gone_error())
            return None
        intake.refused = error = TotalTimeout(f"the exchange took longer than {seconds} s")
        raise error

    # A send of the whole response, under way before there was a conversation.

    def send_waits(self, sending: RunningHere) -> None:
        """It has to wait: watch over it."""
        # odd while one is under way, be it this one or another task's
        self._counts = self.intake.sends % 2 == 0
        self.intake.sends += self._counts
        self._early = sending
        self._watch_over(sending)

    def send_over(self, error: BaseException | None) -> None:
        """It is over, with this error or none.

        Raises:
            Exception: why the exchange was cut, where that has stopped it.
        """
        early, self._early = self._early, None
        if early is not None:
            self.intake.sends += self._counts
            if early.over(error):
                self._raise_cut()

    def shut_down(self, error: ServerShutdown) -> None:
        """Let go whoever waits, in a send, in the application's receive, or in a read."""
        self.intake.end(error)
        self._abort(error)

    # The end.

    async def finish(self) -> None:
        """The application has returned: see the response to its end."""
        if self._pieces is not None:
            await self._finish_pieces()
        gate, refusal = self.gate, self.intake.refusal
        # where the client has gone, the application noticed, and stopped
        if gate.phase is COMPLETE or self.intake.client_gone:
            if self.intake.broken_off:
                self.intake.log_departure(self.intake.gone_error())
            return
        if isinstance(refusal, ServerShutdown) and gate.phase in _UNSENT:
            await self._refuse(refusal)  # it was told that the client left, and stopped
        elif gate.phase is STREAMING:
            await self._leave_answer()
            if self._cut is not None:
                raise self._cut.with_traceback(None)
            # the server cuts it, as it would without us
        elif released := gate.finish():
            await self._complete(released)
        else:
            await self._leave_answer()

    async def fail(self, error: BaseException) -> bool:
        """See to what the application raised, or `call`, or `finish`.

        Returns:
            Whether that ends here, and is not for the server.

        Raises:
            Exception: why the exchange was cut, in its stead.
        """
        intake = self.intake
        if intake.client_gone:
            self._reason = intake.gone_error()
        else:
            over = ExchangeOver(f"the exchange ended early: {error!r}")
            self._reason = intake.portal.shutdown.reason(error) or over
        try:
            return await self._settle(error)
        finally:
            del error  # it holds this frame

    async def close(self) -> None:
        """The exchange is over."""
        self._cut = None  # where it was raised, its frames hold us
        if self._line is not None:
            self._line.let_all_go()
        beside = (self._patience, self._holding, self._stopped, self._listener, self._pieces)
        self._patience = self._holding = self._stopped = self._listener = self._pieces = None
        for each in beside:
            if each is not None:
                each.cancel()
        self.task = None
        intake = self.intake
        if intake.untouched:
            intake.response_complete()  # whoever claims the body from now on is too late
        else:
            over = self._reason or ExchangeOver("the exchange is over")
            await intake.close(over, failed=self.gate.phase is not COMPLETE)

    @property
    def outcome(self) -> Outcome:
        """What it came to, where the application did not fail."""
        if self.whole:
            return Outcome.COMPLETE
        return Outcome.CLIENT_GONE if self.intake.client_gone else Outcome.FAILED

    async def _settle(self, error: BaseException) -> bool:
        """See to what the application raised; whether it ends here."""
        intake, refusal = self.intake, self.intake.refusal
        if not isinstance(error, Exception):
            return False
        if refusal is not None and is_departure(error, of=refusal):
            if self.gate.phase in _UNSENT:
                await self._refuse(refusal)
            if self.gate.phase is COMPLETE:
                if not isinstance(refusal, ServerShutdown):  # which is logged
                    logger.info("%s: %s", intake, refusal)
                refusal.__traceback__ = None  # its frames hold us
                return True
        for reason in (self._cut, refusal):
            if reason is not None and is_departure(error, of=reason):
                try:
                    raise reason.with_traceback(None) from None  # whatever a framework made of it
                finally:
                    del error, reason, refusal  # they hold this frame
        # where a server promises to raise, what it raises is its own business
        departure = is_departure(error) or (error is intake.leaving and not intake.server_raises)
        if intake.knows_of_leaving and departure:
            intake.log_departure(intake.gone_error())
            error.__traceback__ = None  # its frames hold us
            return True
        await self._leave_answer()
        hidden = behind_departure(error) if self._stops else None
        if hidden is not None:  # what we told the framework of ASGI has made it do that
            try:
                raise hidden from hidden.__cause__
            finally:
                del error, hidden  # they hold this frame
        return False

    async def _leave_answer(self) -> None:
        """The server is about to answer by itself, if nothing was sent: take the upload in."""
        if self.gate.phase in _UNSENT and self.intake.unread:
            await self.intake.drain()
