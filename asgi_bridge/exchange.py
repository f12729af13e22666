# One HTTP request, answered by a blocking function.
#
# The way of the data: intake -> channel -> the function, on a worker -> channel -> send.
#
# Rule 1: a small request costs one hop and no task: its body is taken in by the server's own task
#         before a worker is asked, the function's whole output comes back with its end, and nothing
#         listens meanwhile. A body that has to be waited for stays with the server's task, and the
#         exchange goes on in a task of its own, beside it: so `receive` and whatever an application
#         in between has put around it is only ever awaited in one task.
# Rule 2: once the response streams, the disconnect is watched for, and whatever waits (the
#         function in a read or a write, this task in a send) is let go by it.
# Rule 3: a failure before the first byte is a status. After it, it is raised, and the server cuts
#         the connection. The last message is only ever sent for a function that returned.
# Rule 4: however the exchange ends, its worker is woken first and then waited for, within a bound.
"""HandlerExchange: runs one blocking function for one request."""

import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, TypeAlias

import anyio

from .crossing.channel import EndOfStream
from .crossing.outlet import Outlet
from .crossing.pool import Begins, WorkerPool
from .crossing.portal import Running
from .crossing.work import Work
from .errors import (
    BodyTooLarge,
    ClientDisconnected,
    ExchangeOver,
    Overloaded,
    TotalTimeout,
    WriteTimeout,
    caused_by_disconnect,
)
from .intake import Intake
from .limits import YIELD_BYTES, Limits
from .protocol.pieces import pieces
from .protocol.refusal import refusal_of
from .protocol.request import BodyPhase
from .request import Request
from .types import Message, RawHeaders, Scope, Send
from .writer import Response

logger: Final = logging.getLogger("asgi_bridge")

Function: TypeAlias = Callable[[Request, Response], None]


class HandlerExchange:
    """One request on its way through a blocking function.

    Args:
        function: what a worker calls; it writes to the response.
        scope: the request's scope, a copy of the server's.
        intake: the owner of the server's receive(), with its body claimed.
        send: the server's callable.
        pool: where the function runs.
        limits: what may be held and how long to wait.
    """

    _sending: anyio.CancelScope | None = None  # around the sends of a stream
    _begins: Begins | None = None  # None until the pool has been asked
    _complete = False  # a stream's last message has been sent
    _aside: Running | None = None  # where the exchange goes on while the body comes
    _aside_error: BaseException | None = None  # what that raised
    _cut: BaseException | None = None  # why the exchange was aborted

    def __init__(
        self,
        function: Function,
        scope: Scope,
        intake: Intake,
        send: Send,
        *,
        pool: WorkerPool,
        limits: Limits,
    ) -> None:
        self._scope = scope
        self._intake = intake
        self._send = send
        self._pool = pool
        self._limits = limits
        portal = intake.portal
        # a response that is held waits for the rest of the request, which has a limit of its own
        timeout = None if limits.duplex == "half" else limits.write_timeout
        outlet: Outlet[bytes] = Outlet(portal, limits.response, timeout=timeout)
        self._output = outlet
        self._response = Response(
            outlet,
            method=scope["method"],
            loop_thread_id=portal.thread_id,
            message_bytes=limits.message_bytes,
        )
        self._request = Request(scope)
        self._job = Work(partial(function, self._request, self._response), outlet)

    async def run(self) -> None:
        """Answer the request.

        Raises:
            Exception: what the function raised, unless it stood for a status or the client left;
                and what the server's `send` raised.
        """
        intake = self._intake
        # With Expect: 100-continue the first receive() is what invites the body, so it waits
        # for the function's first read; one that refuses without reading invites nothing.
        if not (intake.framing.expects_continue or intake.declared_too_long):
            try:
                await intake.take_in(self._step_aside)
            except BaseException:
                await self._call_off()
                raise
        if self._aside is None:
            await self._serve()
        else:
            await self._join()

    def _step_aside(self) -> None:
        """The body is not here yet: go on in a task of its own, beside the intake's pump."""
        self._aside = self._intake.portal.spawn(self._serve_aside)

    async def _serve_aside(self) -> None:
        try:
            await self._serve()
        except BaseException as error:
            self._aside_error = error
            raise

    async def _join(self) -> None:
        """Wait for the task aside, and raise what it raised."""
        assert self._aside is not None, "only called with a task aside"
        try:
            await self._aside.wait()
        except BaseException:
            await self._call_off()
            raise
        error, self._aside_error = self._aside_error, None
        if error is not None:
            raise error

    async def _call_off(self) -> None:
        """Cancel the task aside and wait for it: its own winding down is bounded."""
        if self._aside is not None:
            self._aside.cancel()
            with anyio.CancelScope(shield=True):
                await self._aside.wait()

    async def _serve(self) -> None:
        """Run the function and answer."""
        intake = self._intake
        reason: BaseException | None = None
        timer: Running | None = None
        try:
            if self._limits.total_timeout is not None:
                timer = intake.portal.spawn(self._run_out)
            invited = not (intake.framing.expects_continue or intake.declared_too_long)
            if self._begin(invited) is Begins.WITH_LINGER:
                await intake.portal.checkpoint()  # the loop lingers
            whole = self._output.take_whole()
            if whole is None:
                await self._answer()
            else:
                await self._send_whole(whole)
        except BaseException as error:
            reason = self._reason_of(error)
            if not isinstance(error, Exception) or not caused_by_disconnect(error):
                raise
            logger.info("%s: %s", self, error)
        finally:
            if timer is not None:
                timer.cancel()
            if not (self._job.over and intake.quiet):
                await self._wind_down(reason or ExchangeOver("the exchange is over"))

    def __str__(self) -> str:
        return f"{self._scope['method']} {self._scope['path']}"

    # Before the function runs.

    def _begin(self, invited: bool) -> Begins:
        """See that the function is run, as soon as it may."""
        intake, portal, job = self._intake, self._intake.portal, self._job
        self._request.body = intake.reader(start=invited)
        whole = intake.body.phase is BodyPhase.ENDED
        try:
            if intake.declared_too_long:
                raise BodyTooLarge(self._limits.max_body_bytes or 0)
            begins = self._pool.submit(
                job, ready=whole or intake.ready, may_linger=whole and portal.can_linger
            )
        except (BodyTooLarge, Overloaded, ExchangeOver) as error:
            job.refused(error)
            begins = Begins.NOW
        self._begins = begins
        if begins is Begins.WITH_LINGER:
            portal.linger_soon(self._pool.linger)
        elif begins is Begins.LATER:
            intake.on_ready(self._promote)
            intake.on_gone(self._client_gone)
            if invited:
                intake.watch()  # a client that leaves the line makes room in it
        return begins

    def _promote(self) -> None:
        self._pool.promote(self._job)

    def _client_gone(self) -> None:
        self._abort(self._intake.gone_error())

    async def _run_out(self) -> None:
        """Abort the exchange when its time has run out."""
        assert self._limits.total_timeout is not None, "only spawned with a limit"
        await anyio.sleep(self._limits.total_timeout)
        error = TotalTimeout(f"the exchange took longer than {self._limits.total_timeout} s")
        self._intake.break_reader(error)
        self._abort(error)

    def _wanted(self) -> bool:
        """Whether the function may still read."""
        return not self._job.over

    def _abort(self, error: BaseException) -> None:
        """Let go whoever waits: the function, and a send that may never return."""
        if self._pool.withdraw(self._job):
            self._job.refused(error)
        self._cut = self._cut or error
        self._output.break_with(error)
        if self._sending is not None:
            self._sending.cancel()

    # The response.

    async def _answer(self) -> None:
        try:
            batch, over = await self._first_batch()
        except Exception as error:
            if self._response.started or self._intake.client_gone:
                raise
            await self._refuse(error)
            return
        if over:
            await self._send_whole(batch)
        else:
            head = self._response.head
            await self._stream(head.status, head.headers, batch)

    async def _send_whole(self, batch: deque[bytes]) -> None:
        """Send all of the output, with its length."""
        head = self._response.head
        headers = head.headers
        size = len(batch[0]) if len(batch) == 1 else sum(map(len, batch))
        if head.declared is None and not head.bodiless:
            headers = [*headers, (b"content-length", b"%d" % size)]
        if size <= self._limits.message_bytes:
            whole = batch[0] if len(batch) == 1 else b"".join(batch)
            await self._send_last(head.status, headers, whole)
        else:
            await self._stream(head.status, headers, batch)

    async def _first_batch(self) -> tuple[deque[bytes], bool]:
        """The first output, and whether that is all of it.

        Where it is not, the loop goes round once more. That costs microseconds and lets a function
        that is just about to return do so: its response then goes out with its length.
        """
        output = self._output
        try:
            batch = await output.take()
        except EndOfStream:
            return deque(), True
        if output.exhausted:
            return batch, True
        await self._intake.portal.checkpoint()
        # What is raised here is met again: the end is `exhausted`, and a failure after the first
        # byte is raised once that byte has gone out.
        with suppress(Exception):
            batch += output.take_held() or ()
        return batch, output.exhausted

    async def _stream(self, status: int, headers: RawHeaders, batch: deque[bytes]) -> None:
        intake = self._intake
        invited = status < 300 or not intake.framing.expects_continue
        if invited and intake.framing.expects_continue:
            # The function writes before it reads. Servers drop the 100 once the response has
            # begun, so the body is invited now or never; an error status does not want it.
            await intake.invite()
        if invited and self._limits.duplex == "half":
            try:
                await intake.until_sent()
            except Exception as error:
                if intake.client_gone:
                    raise
                self._abort(error)
                await self._refuse(error)
                return
        with anyio.CancelScope() as self._sending:
            intake.on_gone(self._client_gone)
            intake.on_cut(self._abort)
            intake.wanted = self._wanted
            if invited:
                intake.watch()
            patience = intake.portal.spawn(self._lose_patience)
            try:
                await self._forward(
                    {"type": "http.response.start", "status": status, "headers": headers}
                )
                await self._send_batches(batch)
            finally:
                patience.cancel()
        if intake.client_gone and not self._complete:
            raise intake.gone_error()
        if self._sending.cancelled_caught:
            assert self._cut is not None, "only _abort cancels it"
            raise self._cut

    async def _send_batches(self, batch: deque[bytes]) -> None:
        if not any(batch):  # the function has sent the bare head
            await self._forward(body(b"", more_body=True))
        with suppress(EndOfStream):
            while True:
                unyielded = 0
                for piece in pieces(batch, self._limits.message_bytes):
                    await self._forward(body(piece, more_body=True))
                    self._output.used(len(piece))
                    # A server's send() may never suspend, and other tasks must run: one of them
                    # may be about to tell that the client has gone.
                    unyielded += len(piece)
                    if unyielded >= YIELD_BYTES:
                        unyielded = 0
                        await self._intake.portal.checkpoint()
                await self._intake.portal.checkpoint()
                batch = await self._output.take()
        if self._intake.unfinished:
            await self._intake.drain()
        # Some servers tell of the disconnect while they send the last message; to cancel that
        # would break off their work on the connection. Only its timeout may.
        self._intake.on_gone(None)
        await self._forward(body(b"", more_body=False))
        self._complete = True

    async def _lose_patience(self) -> None:
        """Abort the exchange once one send has taken as long as `write_timeout`.

        It looks every now and then whether a send is still the one it saw before, since a timer
        for each send would cost as much as the send does.
        """
        timeout = self._limits.write_timeout
        if timeout is None:
            return
        seen = self._intake.sends
        while True:
            await anyio.sleep(timeout)
            if self._intake.sends == seen and seen % 2:
                self._abort(WriteTimeout(f"the client took no response bytes for {timeout} s"))
                return
            seen = self._intake.sends

    async def _send_last(self, status: int, headers: RawHeaders, whole: bytes) -> None:
        """Send a whole response."""
        intake = self._intake
        untouched = intake.declared_too_long and not intake.framing.expects_continue
        if untouched or intake.unfinished:
            await intake.drain()
        await self._forward(
            {"type": "http.response.start", "status": status, "headers": headers},
            {"type": "http.response.body", "body": whole, "more_body": False},
        )

    async def _forward(self, *messages: Message) -> None:
        if self._intake.client_gone:
            raise self._intake.gone_error()
        self._intake.sends += 1  # odd while a send is under way, see _lose_patience
        try:
            for message in messages:
                await self._send(message)
        except OSError as error:  # ASGI, HTTP sub-spec 2.4: what send raises for a client that left
            raise ClientDisconnected(f"the client went away: {error}") from error
        self._intake.sends += 1

    async def _refuse(self, error: Exception) -> None:
        """Answer a failure before the first byte with its status, or with 500 and raise it."""
        refusal = refusal_of(error)
        body = b"" if self._scope["method"] == "HEAD" else refusal.body
        await self._send_last(refusal.status, refusal.headers, body)
        if refusal.unexpected:
            raise error

    # The end.

    def _reason_of(self, error: BaseException) -> BaseException:
        """What a function that is still running meets in its reads and writes from now on."""
        if self._intake.client_gone:
            return self._intake.gone_error()
        if caused_by_disconnect(error):
            return error
        return ExchangeOver(f"the exchange ended early: {error!r}")

    async def _wind_down(self, reason: BaseException) -> None:
        job = self._job
        self._output.break_with(reason)
        await self._intake.close(reason)
        if self._begins is None or self._pool.withdraw(job):
            return  # it will not run
        await job.wait_over(self._intake.portal, self._limits.abandon_timeout)
        if not job.over:
            logger.warning(
                "%s: its worker is still busy %s s after the exchange ended; it is left alone",
                self,
                self._limits.abandon_timeout,
            )


def body(chunk: bytes, *, more_body: bool) -> Message:
    """A message of a response's body."""
    return {"type": "http.response.body", "body": chunk, "more_body": more_body}
