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

import contextvars
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

import anyio

from .crossing.channel import EndOfStream
from .crossing.ends import LoopReceiver, ThreadSender, thread_to_loop
from .crossing.pool import Job, WorkerPool
from .crossing.waiters import LoopWaiter
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


class HandlerExchange:
    """One request on its way through a blocking function.

    Args:
        work: runs the function on a worker and writes what it returns; see handler.py.
        scope: the request's scope, a copy of the server's.
        intake: the owner of the server's receive().
        send: the server's callable.
        pool: where the function runs.
        limits: what may be held and how long to wait.
    """

    def __init__(
        self,
        work: Callable[[Request, Response], None],
        scope: Scope,
        intake: Intake,
        send: Send,
        *,
        pool: WorkerPool,
        limits: Limits,
    ) -> None:
        self._work = work
        self._scope = scope
        self._intake = intake
        self._send = send
        self._pool = pool
        self._limits = limits
        ends: tuple[ThreadSender[bytes], LoopReceiver[bytes]] = thread_to_loop(
            intake.portal, limits.response, timeout=limits.write_timeout
        )
        self._sender, self._output = ends
        self._response = Response(
            self._sender, method=scope["method"], loop_thread_id=intake.portal.thread_id
        )
        self._job = Job(self._run, self._done, self._refused)
        self._context = contextvars.copy_context()
        self._request: Request | None = None  # made once the body has had a moment to come
        self._error: BaseException | None = None  # the function's; worker writes, then _over
        self._over = False  # the worker has ended; worker writes, the loop reads
        self._ended: LoopWaiter | None = None  # where _wind_down waits for _over
        self._sending: anyio.CancelScope | None = None  # around the sends of a stream
        self._sends = 0  # how many times a send was begun or ended

    async def run(self) -> None:
        """Answer the request.

        Raises:
            Exception: what the function raised, unless it stood for a status or the client left;
                and what the server's `send` raised.
        """
        reason: BaseException = ExchangeOver("the exchange is over")
        self._intake.claim()
        try:
            await self._begin()
            await self._answer()
        except BaseException as error:
            reason = self._reason_of(error)
            if not caused_by_disconnect(error):
                raise
            logger.info("%s: %s", self, error)
        finally:
            if not (self._over and self._intake.quiet):
                await self._wind_down(reason)

    def __str__(self) -> str:
        return f"{self._scope['method']} {self._scope['path']}"

    # Before the function runs.

    async def _begin(self) -> None:
        """Let the pump take in what has come already, then see that the function is run."""
        intake, portal = self._intake, self._intake.portal
        # With Expect: 100-continue the first receive() is what invites the body, so it waits for
        # the function's first read; a function that refuses without reading invites nothing.
        invited = not intake.framing.expects_continue
        if invited:
            intake.start()
            await portal.checkpoint()
        ready = intake.ready
        quick = intake.body.phase is BodyPhase.ENDED
        body = BodyReader(intake.source(start=invited), portal.thread_id)
        self._request = Request(self._scope, body)
        linger = portal.soon(self._pool.linger) if quick else None
        try:
            begun = self._pool.submit(self._job, ready=ready, linger=linger)
        except (Overloaded, ExchangeOver) as error:
            self._refused(error)
            return
        if not begun:
            intake.on_ready(self._promote)
            intake.on_gone(self._client_gone)
            intake.watch()  # a client that leaves the line makes room in it
        elif linger is not None:
            await portal.checkpoint()  # by then the loop has lingered

    def _promote(self) -> None:
        try:
            self._pool.promote(self._job)
        except Overloaded as error:
            self._refused(error)

    def _client_gone(self) -> None:
        self._abort(self._intake.gone_error())

    def _abort(self, error: BaseException) -> None:
        """Let go whoever waits: the function, and a send that may never return."""
        if self._pool.withdraw(self._job):
            self._refused(error)
        self._output.break_with(error)
        if self._sending is not None:
            self._sending.cancel()

    # On the worker.

    def _run(self) -> None:
        try:
            assert self._request is not None, "_begin makes it before it submits the job"
            self._context.run(self._work, self._request, self._response)
        except Exception as error:
            self._error = error
        except BaseException as error:
            # SystemExit and its like would end the server's task, or the server; a handler only
            # speaks for its own request
            self._error = RuntimeError(f"the handler raised {error!r}")
            self._error.__cause__ = error

    def _done(self) -> None:
        self._over = True
        self._sender.end(self._error)
        # Either we see the waiter here, or _wind_down, which sets it first, sees _over.
        if self._ended is not None:
            self._ended.wake()

    def _refused(self, error: BaseException) -> None:
        """The function will not run; `error` is its outcome."""
        self._error = error
        self._done()

    # The response.

    async def _answer(self) -> None:
        try:
            batch = await self._first_batch()
        except Exception as error:
            if self._response.started or self._intake.client_gone:
                raise
            await self._refuse(error)
            return
        head = self._response.head
        headers = head.headers
        whole = self._output.exhausted
        size = sum(map(len, batch))
        if whole and head.declared is None and not head.bodiless:
            headers = [*headers, (b"content-length", str(size).encode())]
        if whole and size <= self._limits.message_bytes:
            await self._send_last(head.status, headers, b"".join(batch))
        else:
            await self._stream(head.status, headers, batch)

    async def _first_batch(self) -> deque[bytes]:
        """The first output, with whatever comes while the loop goes round once.

        That turn of the loop costs microseconds and lets a function that is just about to return
        do so: its response then goes out in one piece, with its length.
        """
        try:
            batch = await self._output.take()
        except EndOfStream:
            return deque()
        if not self._output.exhausted:
            await self._intake.portal.checkpoint()
            try:
                batch += self._output.take_nowait() or ()
            except Exception:
                # The function has failed after its first byte. That byte goes out; the failure
                # is met again, and raised, after it.
                pass
        return batch

    async def _stream(self, status: int, headers: RawHeaders, batch: deque[bytes]) -> None:
        intake = self._intake
        if intake.framing.expects_continue and status < 300:
            # The function writes before it reads. Servers drop the 100 once the response has
            # begun, so the body is invited now or never; an error status does not want it.
            intake.start()
        with anyio.CancelScope() as self._sending:
            intake.on_gone(self._client_gone)
            intake.watch()
            patience = intake.portal.spawn(self._lose_patience)
            try:
                await self._forward(start(status, headers))
                await self._send_batches(batch)
            finally:
                patience.cancel()
        if intake.client_gone:
            raise intake.gone_error()
        if self._sending.cancelled_caught:
            raise WriteTimeout(
                f"the client took no response bytes for {self._limits.write_timeout} s"
            )

    async def _send_batches(self, batch: deque[bytes]) -> None:
        if not any(batch):  # the function has flushed the bare head
            await self._forward(body(b"", more_body=True))
        try:
            while True:
                for piece in pieces(batch, self._limits.message_bytes):
                    await self._forward(body(piece, more_body=True))
                    self._output.release(len(piece))
                # a server's send() may never suspend; other tasks must run
                await self._intake.portal.checkpoint()
                batch = await self._output.take()
        except EndOfStream:
            await self._settle()
            await self._forward(body(b"", more_body=False))

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
        self._output.break_with(reason)
        await self._intake.close(reason)
        if self._pool.withdraw(self._job):
            return
        self._ended = self._intake.portal.waiter()
        if self._over:
            return
        with anyio.move_on_after(self._limits.abandon_timeout, shield=True):
            await self._ended.wait()  # rung by _done
        if not self._over:
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
