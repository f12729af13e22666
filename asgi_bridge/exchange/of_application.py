# One HTTP request and its response, between a server and any application.
#
# Rule 1: receive() has one owner (intake/pump.py), and so has send (passing.py).
# Rule 2: the application is told of ASGI HTTP 2.4, and gets what that promises.
# Rule 3: what is raised because the client left ends here, with a line in the log. Everything
#         else goes on to the server, and so does every failure after the start.
# Rule 4: a request that our limits refuse is answered with its own status, where nothing was sent:
#         instead of the failure that the application, or its framework, makes of it.
"""AppExchange: calls an application, between the gate and the intake."""

import logging
from typing import Final

import anyio

from ..errors import (
    BodyTooLarge,
    ExchangeOver,
    ServerShutdown,
    TotalTimeout,
    caused_by,
    caused_by_disconnect,
)
from ..intake import SCOPE_KEY
from ..protocol.response import Phase
from ..stats import Outcome
from ..types import ASGIApp, Scope
from .passing import COMPLETE, Passing

logger: Final = logging.getLogger("asgi_bridge")

# Nothing of the response has gone to the server.
_UNSENT: Final = (Phase.INITIAL, Phase.HELD)

# The first version of the HTTP sub-spec in which send raises after a disconnect.
SPEC_VERSION: Final = "2.4"


class AppExchange(Passing):
    """One request on its way through an application."""

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
            if self.gate.phase is not COMPLETE:
                await self._finish()
        except BaseException as error:
            if intake.client_gone:
                reason = intake.gone_error()
            else:
                over = ExchangeOver(f"the exchange ended early: {error!r}")
                reason = shutdown.reason(error) or over
            if not await self._settle(error):
                raise
        finally:
            shutdown.discard(self)
            patience, self._patience = self._patience, None
            if patience is not None:
                patience.cancel()
            if intake.untouched:
                if self.gate.phase is not COMPLETE:
                    intake.response_complete()  # whoever claims the body from now on is too late
            else:
                reason = reason or ExchangeOver("the exchange is over")
                await intake.close(reason, failed=self.gate.phase is not COMPLETE)
        if self.gate.phase is COMPLETE:
            return Outcome.COMPLETE
        return Outcome.CLIENT_GONE if intake.client_gone else Outcome.FAILED

    @property
    def shutdown_timeout(self) -> float | None:
        """As `Limits` have it."""
        return self.intake.limits.shutdown_timeout

    def shut_down(self, error: ServerShutdown) -> None:
        """Let go whoever waits, in a send, in the application's receive, or in a read."""
        self.intake.end(error)
        self._abort(error)

    async def _call_in_time(self, app: ASGIApp, scope: Scope, seconds: float) -> None:
        """Call the application, and cancel it when its time has run out."""
        intake = self.intake
        with anyio.move_on_after(seconds) as time:
            await app(scope, intake.receive, self.send)
        if time.cancelled_caught:
            intake.refused = error = TotalTimeout(f"the exchange took longer than {seconds} s")
            raise error

    async def _settle(self, error: BaseException) -> bool:
        """See to what the application raised; whether it ends here."""
        intake, refusal = self.intake, self.intake.refusal
        if not isinstance(error, Exception):
            return False
        if refusal is not None and self.gate.phase in _UNSENT and caused_by(error, refusal):
            await self._refuse(refusal)
        if refusal is not None and self.gate.phase is COMPLETE and caused_by(error, refusal):
            if not isinstance(refusal, ServerShutdown):  # which is logged
                logger.info("%s: %s", intake, refusal)
            refusal.__traceback__ = None  # see answer.py
        elif self._cut is not None and not intake.client_gone:
            raise self._cut.with_traceback(None) from None  # whatever was made of it
        elif caused_by_disconnect(error):
            logger.info("%s: %s", intake, intake.gone_error() if intake.client_gone else error)
            error.__traceback__ = None  # see answer.py
        else:
            await self._leave_answer()
            return False
        return True

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
