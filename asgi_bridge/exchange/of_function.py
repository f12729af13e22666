# One HTTP request, answered by a blocking function.
#
# The way of the data: intake -> channel -> the function, on a worker -> channel -> send.
#
# Rule 1: a small request costs one hop and no task: its body is taken in by the server's own task
#         before a worker is asked, the function's whole output comes back with its end, and nothing
#         listens meanwhile. A body that has to be waited for stays with the server's task, and the
#         exchange goes on in a task of its own, beside it: so `receive` and whatever an application
#         in between has put around it is only ever awaited in one task.
# Rule 2: however the exchange ends, its worker is woken first and then waited for, within a bound.
"""HandlerExchange: runs one blocking function for one request."""

from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

import anyio

from ..crossing.pool import Begins, WorkerPool
from ..crossing.portal import Running
from ..crossing.work import Work
from ..errors import (
    BodyTooLarge,
    ClientDisconnected,
    ExchangeOver,
    Overloaded,
    ServerShutdown,
    TotalTimeout,
    is_departure,
)
from ..intake import Intake
from ..limits import Limits
from ..logs import logger
from ..protocol.request import BodyPhase
from ..request import Request
from ..trailers import Digest
from ..types import Scope, Send
from ..writer import Response
from .answer import Answer
from .aside import Aside
from .patience import keep_place

# A global is found in half the time of an enum's member.
_ENDED: Final = BodyPhase.ENDED
_WITH_LINGER: Final = Begins.WITH_LINGER

Function: TypeAlias = Callable[[Request, Response], None]


class HandlerExchange(Answer):
    """One request on its way through a blocking function.

    Args:
        function: what a worker calls; it writes to the response.
        scope: the request's scope, a copy of the server's.
        intake: the owner of the server's receive(), with its body claimed.
        send: the server's callable.
        pool: where the function runs.
        digest: the algorithm of the body's digest, None for none.
        limits: what may be held and how long to wait.
    """

    _begins: Begins | None = None  # None until the pool has been asked
    _aside: Aside | None = None  # where the exchange goes on while the body comes
    _place: Running | None = None  # notices that the client has stopped while we stand in line

    def __init__(
        self,
        function: Function,
        scope: Scope,
        intake: Intake,
        send: Send,
        *,
        pool: WorkerPool,
        limits: Limits,
        digest: str | None = None,
    ) -> None:
        super().__init__(scope, intake, send, limits)
        if digest is not None:
            self._response.digest = Digest(digest)
        self._pool = pool
        # With Expect: 100-continue the first receive() is what invites the body, so it waits
        # for the function's first read; one that refuses without reading invites nothing.
        self._invited = not (intake.framing.expects_continue or self._too_long)
        self._request = Request(scope)
        self._job = Work(partial(function, self._request, self._response), self._output)

    @property
    def intake(self) -> Intake:
        """The owner of the server's receive()."""
        return self._intake

    @property
    def shutdown_timeout(self) -> float | None:
        """As `Limits` have it."""
        return self._limits.shutdown_timeout

    async def run(self) -> None:
        """Answer the request.

        Raises:
            Exception: what the function raised, unless it stood for a status or the client left;
                and what the server's `send` raised.
        """
        if self._invited:
            try:
                waiting = self._intake.take_in(self._step_aside)
                if waiting is not None:
                    await waiting
            except BaseException:
                if self._aside is not None:
                    await self._aside.call_off()
                raise
        if self._aside is None:
            await self._serve()
            return
        try:
            await self._aside.join()
        finally:
            self._aside = None  # it holds us

    def _step_aside(self) -> None:
        """The body is not here yet: go on in a task of its own, beside the intake's pump."""
        self._aside = Aside(self._intake.portal, self._serve)

    async def _serve(self) -> None:
        """Run the function and answer."""
        intake = self._intake
        reason: BaseException | None = None
        timer: Running | None = None
        intake.portal.shutdown.add(self)
        try:
            if self._limits.total_timeout is not None:
                timer = intake.portal.spawn(self._run_out)
            if self._begin() is _WITH_LINGER:
                await intake.portal.checkpoint()  # the loop lingers
            whole = self._output.take_whole()
            if whole is None:
                await self._answer()
            else:
                await self._send_whole(whole)
        except BaseException as error:
            reason = self._reason_of(error)
            if not isinstance(error, Exception) or not self._is_departure(error):
                raise
            intake.log_departure(error)
            error.__traceback__ = None  # as in _answer
            self._output.forget_frames()
        finally:
            if self._aside is not None:
                self._aside.winds_down = True
            intake.portal.shutdown.discard(self)
            patience, self._patience = self._patience, None
            place, self._place = self._place, None
            stopped, self._stopped = self._stopped, None
            for each in (timer, patience, place, stopped):
                if each is not None:
                    each.cancel()
            if self._job.over and intake.quiet:
                intake.let_go()
            else:
                await self._wind_down(reason)
            if reason is not None and self._job.over:
                # What is raised has frames that hold us; granian and a collector wait for them.
                self.cut = None
                self._output.forget(ExchangeOver("the exchange is over"))

    # Before the function runs.

    def _begin(self) -> Begins:
        """See that the function is run, as soon as it may."""
        intake, portal, job = self._intake, self._intake.portal, self._job
        self._request.body = intake.reader(start=self._invited)
        whole = intake.body.phase is _ENDED
        try:
            if self._too_long:
                raise BodyTooLarge(self._limits.max_body_bytes or 0)
            begins = self._pool.submit(
                job, ready=whole or intake.ready, may_linger=whole and portal.can_linger
            )
        except (BodyTooLarge, Overloaded, ExchangeOver) as error:
            job.refused(error)
            begins = Begins.NOW
        self._begins = begins
        if begins is _WITH_LINGER:
            portal.linger_soon(self._pool.linger)
        elif begins is Begins.LATER:
            intake.on_ready(self._promote)
            intake.on_gone(self._client_gone)
            if self._invited:
                intake.watch()  # a client that leaves the line makes room in it
                self._place = keep_place(intake, self._stands, self.abort)
        return begins

    def _stands(self) -> bool:
        """Whether we stand in line."""
        return self._job.line is not None

    def _promote(self) -> None:
        self._pool.promote(self._job)

    async def _run_out(self) -> None:
        """Abort the exchange when its time has run out."""
        assert self._limits.total_timeout is not None, "only spawned with a limit"
        await anyio.sleep(self._limits.total_timeout)
        self._end(TotalTimeout(f"the exchange took longer than {self._limits.total_timeout} s"))

    def look(self) -> None:
        """Its sends are watched over."""

    def shut_down(self, error: ServerShutdown) -> None:
        """Let go whoever waits: the server shuts down."""
        self._end(error)

    def _end(self, error: BaseException) -> None:
        self._intake.break_reader(error)
        self.abort(error)

    def abort(self, error: BaseException) -> None:
        if self._pool.withdraw(self._job):
            self._job.refused(error)
        super().abort(error)

    # The end.

    def _is_departure(self, error: BaseException) -> bool:
        """Whether the client has left, and an exception only says so."""
        known = self._intake.client_gone or self._send_told
        return known and is_departure(error)

    def _reason_of(self, error: BaseException) -> BaseException:
        """What a function that is still running meets in its reads and writes from now on."""
        if self._intake.client_gone:
            return self._intake.gone_error()
        if isinstance(error, ClientDisconnected):
            return error
        shutdown = self._intake.portal.shutdown.reason(error)
        return shutdown or ExchangeOver(f"the exchange ended early: {error!r}")

    async def _wind_down(self, failure: BaseException | None) -> None:
        job = self._job
        over = failure or ExchangeOver("the exchange is over")
        self._output.break_with(over)
        await self._intake.close(over, failed=failure is not None)
        if self._begins is None or self._pool.withdraw(job):
            return  # it will not run
        await job.wait_over(self._intake.portal, self._limits.abandon_timeout)
        if not job.over:
            logger.warning(
                "%s: its worker is still busy %s s after the exchange ended; it is left alone",
                self,
                self._limits.abandon_timeout,
            )
