# One HTTP request, answered by a blocking function.
#
# The way of the data: intake -> channel -> the function, on a worker -> channel -> send.
#
# Rule 1: a small request costs one hop: its body is taken in before a worker is, the function's
#         whole output comes back with its end, and nothing listens meanwhile.
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
from .crossing.ends import LoopReceiver, ThreadSender, thread_to_loop
from .crossing.pool import Begins, WorkerPool
from .crossing.work import Work
from .errors import (
    ClientDisconnected,
    ExchangeOver,
    Overloaded,
    WriteTimeout,
    caused_by_disconnect,
)
from .intake import Intake
from .limits import Limits
from .protocol.pieces import pieces
from .protocol.refusal import refusal_of
from .protocol.request import BodyPhase
from .reader import BodyReader
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
        intake: the owner of the server's receive().
        send: the server's callable.
        pool: where the function runs.
        limits: what may be held and how long to wait.
    """

    _sending: anyio.CancelScope | None = None  # around the sends of a stream
    _begins: Begins | None = None  # None until the pool has been asked
    _complete = False  # a stream's last message has been sent
    _sends = 0  # how many times a send was begun or ended

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
        ends: tuple[ThreadSender[bytes], LoopReceiver[bytes]] = thread_to_loop(
            portal, limits.response, timeout=limits.write_timeout
        )
        sender, self._output = ends
        self._response = Response(
            sender,
            method=scope["method"],
            loop_thread_id=portal.thread_id,
            message_bytes=limits.message_bytes,
        )
        self._request = Request(scope)
        self._job = Work(partial(function, self._request, self._response), sender)

    async def run(self) -> None:
        """Answer the request.

        Raises:
            Exception: what the function raised, unless it stood for a status or the client left;
                and what the server's `send` raised.
        """
        intake = self._intake
        intake.claim()
        reason: BaseException | None = None
        try:
            # With Expect: 100-continue the first receive() is what invites the body, so it waits
            # for the function's first read; one that refuses without reading invites nothing.
            invited = not intake.framing.expects_continue
            if invited:
                intake.start()
                await intake.portal.checkpoint()  # the pump takes in what has come already
            if self._begin(invited) is Begins.WITH_LINGER:
                await intake.portal.checkpoint()  # the loop lingers
            await self._answer()
        except BaseException as error:
            reason = self._reason_of(error)
            if not isinstance(error, Exception) or not caused_by_disconnect(error):
                raise
            logger.info("%s: %s", self, error)
        finally:
            if not (self._job.over and intake.quiet):
                await self._wind_down(reason or ExchangeOver("the exchange is over"))

    def __str__(self) -> str:
        return f"{self._scope['method']} {self._scope['path']}"

    # Before the function runs.

    def _begin(self, invited: bool) -> Begins:
        """See that the function is run, as soon as it may."""
        intake, portal, job = self._intake, self._intake.portal, self._job
        self._request.body = BodyReader(intake.source(start=invited), portal.thread_id)
        whole = intake.body.phase is BodyPhase.ENDED
        try:
            begins = self._pool.submit(
                job, ready=whole or intake.ready, may_linger=whole and portal.can_linger
            )
        except (Overloaded, ExchangeOver) as error:
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

    def _abort(self, error: BaseException) -> None:
        """Let go whoever waits: the function, and a send that may never return."""
        if self._pool.withdraw(self._job):
            self._job.refused(error)
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
        head = self._response.head
        headers = head.headers
        size = len(batch[0]) if len(batch) == 1 else sum(map(len, batch))
        if over and head.declared is None and not head.bodiless:
            headers = [*headers, (b"content-length", b"%d" % size)]
        if over and size <= self._limits.message_bytes:
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
            batch += output.take_nowait() or ()
        return batch, output.exhausted

    async def _stream(self, status: int, headers: RawHeaders, batch: deque[bytes]) -> None:
        intake = self._intake
        invited = status < 300 or not intake.framing.expects_continue
        if invited and intake.framing.expects_continue:
            # The function writes before it reads. Servers drop the 100 once the response has
            # begun, so the body is invited now or never; an error status does not want it.
            await intake.invite()
        with anyio.CancelScope() as self._sending:
            intake.on_gone(self._client_gone)
            if invited:
                intake.watch()
            patience = intake.portal.spawn(self._lose_patience)
            try:
                await self._forward(start(status, headers))
                await self._send_batches(batch)
            finally:
                patience.cancel()
        if intake.client_gone and not self._complete:
            raise intake.gone_error()
        if self._sending.cancelled_caught:
            raise WriteTimeout(
                f"the client took no response bytes for {self._limits.write_timeout} s"
            )

    async def _send_batches(self, batch: deque[bytes]) -> None:
        if not any(batch):  # the function has sent the bare head
            await self._forward(body(b"", more_body=True))
        with suppress(EndOfStream):
            while True:
                for piece in pieces(batch, self._limits.message_bytes):
                    await self._forward(body(piece, more_body=True))
                    self._output.release(len(piece))
                # a server's send() may never suspend; other tasks must run
                await self._intake.portal.checkpoint()
                batch = await self._output.take()
        await self._settle()
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
        seen = self._sends
        while True:
            await anyio.sleep(timeout)
            if self._sends == seen and seen % 2:
                self._abort(WriteTimeout(f"the client took no response bytes for {timeout} s"))
                return
            seen = self._sends

    async def _send_last(self, status: int, headers: RawHeaders, whole: bytes) -> None:
        """Send a whole response."""
        await self._settle()
        await self._forward(start(status, headers))
        await self._forward(body(whole, more_body=False))

    async def _forward(self, message: Message) -> None:
        if self._intake.client_gone:
            raise self._intake.gone_error()
        self._sends += 1  # odd while a send is under way, see _lose_patience
        try:
            await self._send(message)
        except OSError as error:  # ASGI, HTTP sub-spec 2.4: what send raises for a client that left
            raise ClientDisconnected(f"the client went away: {error}") from error
        self._sends += 1

    async def _settle(self) -> None:
        """Get an upload that is still running out of the way of the last message."""
        if self._intake.unfinished:
            await self._intake.drain()

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


def start(status: int, headers: RawHeaders) -> Message:
    """The message that begins a response."""
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(chunk: bytes, *, more_body: bool) -> Message:
    """A message of a response's body."""
    return {"type": "http.response.body", "body": chunk, "more_body": more_body}
