# The way out of a blocking function: what it has written goes to the server's send.
#
# Rule 1: a function's whole output, where it is small, goes out with its length.
# Rule 2: once the response streams, the disconnect is watched for, and whatever waits (the
#         function in a read or a write, this task in a send) is let go by it.
# Rule 3: a failure before the first byte is a status. After it, it is raised, and the server cuts
#         the connection. The last message is only ever sent for a function that returned.
"""Answer: sends what a function on a worker has written."""

from collections import deque
from collections.abc import Awaitable
from contextlib import suppress
from typing import Final

import anyio

from ..crossing.ending import EndOfStream
from ..crossing.outlet import Outlet
from ..crossing.portal import Running
from ..crossing.turns import TakesTurns
from ..crossing.work import Work
from ..errors import ClientDisconnected, tells_of_leaving
from ..intake import Intake
from ..limits import Limits
from ..logs import shown
from ..protocol.pieces import body, pieces
from ..protocol.refusal import refusal_of
from ..types import Message, RawHeaders, Scope, Send
from ..writer import Response
from .begin import before_stream
from .patience import be_patient, warn_of_stopped_body
from .trailing import announce, trailers_of

# More than others do in one go. With a quarter of this, the loop's other tasks on uvicorn came no
# sooner: at p99 1.4 ms late beside one upload, 4.4 ms beside eight, for the GIL.
TURN_BYTES: Final = 1024 * 1024


class Answer(TakesTurns):
    """One response.

    Args:
        scope: the request's scope.
        intake: its side towards the server.
        send: the server's callable.
        limits: what may be held and how long to wait.

    Attributes:
        cut: why the exchange was aborted, None where it was not.

    Threads: the loop's.
    """

    turn_bytes = TURN_BYTES
    cut: BaseException | None = None
    _late = False  # a whole response, which goes out even so, began after that
    _job: Work
    _sending: anyio.CancelScope | Running | None = None  # sends that may never return
    _patience: Running | None = None  # notices that one of them is stuck
    _stopped: Running | None = None  # notices a body that has stopped behind the response
    _send_told = False  # the server's send has said that the client left
    _complete = False  # a stream's last message has been sent

    def __init__(self, scope: Scope, intake: Intake, send: Send, limits: Limits) -> None:
        self._scope = scope
        self._intake = intake
        self._send = send
        self._limits = limits
        self._too_long = intake.declared_too_long  # the body, which is refused unread then
        # a response that is held waits for the rest of the request, which has a limit of its own
        held = limits.duplex == "half" or (limits.duplex == "auto" and intake.behind_proxy)
        timeout = None if held else limits.write_timeout
        self._output = Outlet[bytes](intake.portal, limits.response, timeout=timeout)
        self._response = Response(
            self._output,
            method=scope["method"],
            loop_thread_id=intake.portal.thread_id,
            message_bytes=limits.message_bytes,
        )

    def __str__(self) -> str:
        return shown(self._scope)

    def abort(self, error: BaseException) -> None:
        """Let go whoever waits: the function, and a send that may never return."""
        self.cut = self.cut or error
        self._output.break_with(error)
        if self._sending is not None:
            self._sending.cancel()

    def _client_gone(self) -> None:
        self.abort(self._intake.gone_error())

    def _wanted(self) -> bool:
        return not self._job.over  # may still read

    async def _answer(self) -> None:
        try:
            batch, over = await self._first_batch()
        except Exception as error:
            if self._response.started or self._intake.client_gone:
                raise
            await self._refuse(error)
            # It ends here. Its frames hold us, and our output holds it; granian closes the
            # connection of a response that came before its request's end once nobody holds `send`.
            error.__traceback__ = None
            self._output.forget_frames()
            return
        if over:
            await self._send_whole(batch)
        else:
            await self._stream(self._start(self._response.head.headers, whole=False), batch)

    def _send_whole(self, batch: deque[bytes]) -> Awaitable[None]:
        head, headers = self._response.head, self._response.head.headers
        size = len(batch[0]) if len(batch) == 1 else sum(map(len, batch))
        if head.declared is None and not head.bodiless:
            headers = [*headers, (b"content-length", b"%d" % size)]
        if size <= self._limits.message_bytes:
            whole = batch[0] if len(batch) == 1 else b"".join(batch)
            return self._send_last(self._start(headers, whole=True), whole)
        return self._stream(self._start(headers, whole=True), batch)

    def _start(self, headers: RawHeaders, *, whole: bool) -> Message:
        response = self._response
        start = {"type": "http.response.start", "status": response.status, "headers": headers}
        if response.digest is not None or response.has_trailers:
            announce(start, response, self._scope, whole=whole)
        return start

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

    async def _stream(self, start: Message, batch: deque[bytes]) -> None:
        intake = self._intake
        intake.wanted = self._wanted
        try:
            await before_stream(intake, start["status"], patience=self._limits.read_timeout)
        except Exception as error:
            if intake.client_gone:
                raise
            self.abort(error)
            await self._refuse(error)
            return
        with anyio.CancelScope() as self._sending:
            intake.on_gone(self._client_gone)
            intake.on_cut(self.abort)
            if start["status"] < 300 or not intake.framing.expects_continue:
                intake.watch()
                self._stopped = warn_of_stopped_body(intake)
            self._patience = be_patient(intake, self.abort, self._limits.write_timeout)
            await self._forward(start)
            await self._send_batches(batch)
            await self._send_end(start)
        if intake.client_gone and not self._complete:
            raise intake.gone_error()
        if self._sending.cancelled_caught:
            assert self.cut is not None, "only abort cancels it"
            raise self.cut

    async def _send_batches(self, batch: deque[bytes]) -> None:
        if not any(batch):  # the function has sent the bare head
            await self._forward(body(b"", more_body=True))
        with suppress(EndOfStream):
            while True:
                for piece in pieces(batch, self._limits.message_bytes):
                    await self._forward(body(piece, more_body=True))
                    self._output.used(len(piece))
                    if self._owes_turn(len(piece)):
                        await self._intake.portal.checkpoint()
                await self._intake.portal.checkpoint()
                self._since_turn = 0
                batch = await self._output.take()

    async def _send_end(self, start: Message) -> None:
        """The function is done: end a stream."""
        if self._intake.unfinished:
            await self._intake.drain()
        # Some servers tell of the disconnect while they send the last message; to cancel that
        # would break off their work on the connection. Only its timeout may.
        self._intake.on_gone(None)
        await self._forward(body(b"", more_body=False))
        if "trailers" in start:
            await self._forward(trailers_of(self._response))
        self._complete = True

    async def _send_last(self, start: Message, whole: bytes) -> None:
        """Send a whole response."""
        intake = self._intake
        if intake.unfinished or (self._too_long and not intake.framing.expects_continue):
            await intake.drain()
        messages: tuple[Message, ...] = (start, body(whole, more_body=False))
        if "trailers" in start:
            messages = (*messages, trailers_of(self._response))
        intake.on_gone(None)  # see _send_end
        # most sends return at once; what has to wait is watched over, like a stream
        self._late = self.cut is not None
        waiting = intake.portal.run_here(self._forward(*messages), self._watch_over)
        if waiting is not None and not await waiting:
            assert self.cut is not None, "only abort stops it"
            raise self.cut

    def _watch_over(self, sending: Running) -> None:
        self._sending = sending
        if self.cut is not None and not self._late:
            sending.cancel()  # it was cut after it had begun, and waits only now
        self._patience = be_patient(self._intake, self.abort, self._limits.write_timeout)

    async def _forward(self, *messages: Message) -> None:
        if self._intake.client_gone:
            raise self._intake.gone_error()
        self._intake.sends += 1  # odd while a send is under way, see patience.py
        try:
            for message in messages:
                await self._send(message)
        except OSError as error:  # ASGI, HTTP sub-spec 2.4: what send raises for a client that left
            if not tells_of_leaving(error, promised=self._intake.server_raises):
                raise
            self._send_told = True
            cause = error.with_traceback(None)  # whoever is told keeps it, and its frames hold us
            raise ClientDisconnected(f"the client went away: {error}") from cause
        self._intake.sends += 1

    async def _refuse(self, error: Exception) -> None:
        """Answer a failure before the first byte with its status, or with 500 and raise it."""
        refusal = refusal_of(error)
        await self._send_last(
            refusal.start, b"" if self._scope["method"] == "HEAD" else refusal.body
        )
        try:
            if refusal.unexpected:
                raise error
        finally:
            del error  # it holds this frame
