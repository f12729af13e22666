# The one owner of a server's receive().
#
# Rule 1: nobody else awaits it, and there is never more than one call pending. Two at once lose or
#         split messages on every server.
# Rule 2: a pending receive() is not cancelled before the response is complete; some servers would
#         throw away what they have just read. So it is awaited by a pump, which is started when
#         somebody first wants something from it, and not before: in a task of its own, or in the
#         server's where the whole exchange is ours (take_in).
# Rule 3: until the body is claimed the application reads through us as if we were not there. Once
#         it is claimed, what is here and what is in flight goes to the reader, and the
#         application's own receive() knows one message only: http.disconnect.
# Rule 4: the pump reads ahead, within bounds in bytes, and stops when they are reached.
#         Where the client writes before it reads, the rest goes the way round (overflow.py).
# Rule 5: a disconnect, and an exception out of the server's receive(), are latched: everyone who
#         asks is told, however often.
"""Intake: owns receive(), feeds the application or the reader, and latches the disconnect."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from enum import Enum
from types import TracebackType
from typing import Final

import anyio
import anyio.lowlevel

from .crossing.channel import ByteChannel
from .crossing.inlet import loop_to_thread
from .crossing.portal import Portal, Running
from .crossing.waiters import LoopWaiter
from .errors import BodyAlreadyClaimed, ClientDisconnected, ExchangeOver, ReadTimeout, SpoolFull
from .limits import Limits
from .overflow import Overflow, stall_or
from .protocol.duplex import Duplex, Way
from .protocol.request import BodyPhase, Framing, RequestBody, announces_body, framing_of
from .reader import BodyReader
from .sinks import ForApplication, ForLater, ForReader, Nowhere, Sink
from .types import Message, Receive, Scope

logger: Final = logging.getLogger("asgi_bridge")

# Where a scope carries its intake, so that open_body finds it through any framework.
SCOPE_KEY: Final = "asgi_bridge"


class Owner(Enum):
    """Whom the body's messages belong to."""

    NOBODY = "nobody has asked yet"
    APPLICATION = "the application has read from it itself"
    READER = "it has a reader already"


# Claims come from any thread; held for a comparison and an assignment, so one lock serves all.
_claiming = threading.Lock()


class Intake:
    """One request's side towards the server.

    Attributes:
        client_gone: whether the server has told of the disconnect; to be read only.
        sends: how many sends to the server were begun or ended, so odd while one is under way.
            Whoever sends counts them, while a response streams.
        wanted: whether anybody will read the rest of the body; asked when it finds no room.

    Args:
        scope: the request's scope.
        receive: the server's callable.
        limits: what may be held.
        portal: the loop that the request runs on.

    Threads: the loop's, but for `claim` and `reader`.
    """

    # What most requests never touch stands here once, and not in each of them: an application that
    # only answers must not pay for what it does not use. All of it belongs to the loop's thread,
    # but for the owner.
    client_gone = False
    sends = 0
    wanted: Callable[[], bool] | None = None  # None: as far as anyone knows
    _told: str | None = None  # what the server's send() said of the disconnect
    _owner = Owner.NOBODY  # guarded by _claiming
    _application: ForApplication | None = None  # made when something comes for it
    _early: ForApplication | ForLater | None = None  # what has come before there was a reader
    _sink: Sink | None = None  # made when something comes for it
    _framing: Framing | None = None  # made when first asked for
    _body: RequestBody | None = None  # likewise
    _pump: Running | None = None
    _channel: ByteChannel[bytes] | None = None  # for the reader
    _room: LoopWaiter | None = None  # where the pump waits for room, or the overflow's feeder
    _duplex: Duplex | None = None  # made when the pump first finds no room
    _overflow: Overflow | None = None  # the present sink, while the body goes the way round
    _failure: Exception | None = None  # what the server's receive() raised
    _failure_traceback: TracebackType | None = None  # belongs to _failure
    _watching = False  # whether the pump goes on after the body, for the disconnect
    _response_complete = False
    _on_gone: Callable[[], None] | None = None
    _on_cut: Callable[[Exception], None] | None = None
    _on_ready: Callable[[], None] | None = None

    def __init__(self, scope: Scope, receive: Receive, limits: Limits, portal: Portal) -> None:
        self.portal = portal
        self.limits = limits
        self._scope = scope
        self._server_receive = receive
        self._waiting: list[LoopWaiter] = []  # tasks inside receive() or drain()

    # What is known.

    @property
    def body(self) -> RequestBody:
        """What the request body has come to so far."""
        if self._body is None:
            self._body = RequestBody(self.framing.length, self.limits.max_body_bytes)
        return self._body

    @property
    def framing(self) -> Framing:
        """What the request's headers say about its body."""
        if self._framing is None:
            self._framing = framing_of(self._scope.get("headers", ()))
        return self._framing

    @property
    def declared_too_long(self) -> bool:
        """Whether the Content-Length alone is above the limit, so that nothing need be read."""
        limit, length = self.limits.max_body_bytes, self.framing.length
        return limit is not None and length is not None and length > limit

    @property
    def ready(self) -> bool:
        """Whether the body has ended, one way or another, or has filled the prefetch."""
        body = self.body
        return (
            body.phase is not BodyPhase.OPEN
            or self._failure is not None
            or body.received >= min(self.limits.prefetch_bytes, self.limits.request.high)
        )

    @property
    def untouched(self) -> bool:
        """Whether nobody has asked for anything, so that there is nothing to close."""
        return self._body is None and self._owner is Owner.NOBODY

    @property
    def quiet(self) -> bool:
        """Whether the body has come whole and nothing runs that `close` would have to stop."""
        return (
            self._pump is None
            and self._overflow is None
            and self._body is not None
            and self._body.phase is BodyPhase.ENDED
        )

    @property
    def unfinished(self) -> bool:
        """Whether the client is still sending a body that somebody has begun to take in."""
        return self._pump is not None and self.body.coming

    @property
    def unread(self) -> bool:
        """Whether the client may still be sending a body, begun or not, that can be drained.

        One that has not been invited by a 100 is not coming, and draining would invite it.
        """
        if self._pump is not None or self._body is not None:
            return self.unfinished
        if not announces_body(self._scope):
            return False
        return not (self.framing.expects_continue or self.client_gone)

    def gone_error(self) -> ClientDisconnected:
        """What a send meets once the client is known to be gone."""
        told = self._told or f"the client went away after {self.body.received} bytes of body"
        return ClientDisconnected(told)

    def reuses(self, receive: Receive) -> bool:
        """Whether `receive` is this intake's own, with nobody's wrapper in between."""
        return receive == self.receive

    # What is done with it, on the loop's thread.

    def use_limits(self, limits: Limits) -> None:
        """Go by the limits of the handler that is about to claim the body."""
        self.limits = limits
        self.body.limit = limits.max_body_bytes

    def client_left(self, told: str) -> None:
        """Latch a disconnect that the server's send() told of."""
        self.client_gone = True
        self._told = told
        self._tell()

    def on_gone(self, callback: Callable[[], None] | None) -> None:
        """Have `callback` called, on the loop, when the client goes away; now if it has.

        Args:
            callback: None for no one, once the answer is about to be complete.
        """
        self._on_gone = callback
        if self.client_gone:
            self._tell()

    def on_cut(self, callback: Callable[[Exception], None] | None) -> None:
        """Have `callback` called, on the loop, with the reason, if the exchange has to be cut."""
        self._on_cut = callback

    def on_ready(self, callback: Callable[[], None]) -> None:
        """Have `callback` called, on the loop, when the request becomes ready."""
        self._on_ready = callback

    def start(self) -> None:
        """Begin to take the body in, if that has not begun."""
        if self._pump is None and self._may_receive():
            self._pump = self.portal.spawn(self._run_pump)

    @classmethod
    def claimed(cls, scope: Scope, receive: Receive, limits: Limits, portal: Portal) -> "Intake":
        """A new one, whose body has been claimed."""
        intake = cls(scope, receive, limits, portal)
        intake._owner = Owner.READER
        return intake

    async def take_in(self, on_wait: Callable[[], None]) -> None:
        """Take the body in, in the caller's own task, if that has not begun.

        Args:
            on_wait: called, on the loop, if that takes more than what has come already.
        """

        def wait(running: Running) -> None:
            self._pump = running
            on_wait()

        if self._pump is not None:
            await self.portal.checkpoint()  # it takes in what has come
        elif self._may_receive():
            await self.portal.run_here(self._run_pump, wait)

    async def invite(self) -> None:
        """`start`, and see that the server's receive() has been called when this returns."""
        self.start()
        for _ in range(2):  # trio may run us before the pump once, but not twice
            await self.portal.checkpoint()

    def watch(self) -> None:
        """Go on after the body, so that the disconnect is noticed when it comes."""
        self._watching = True
        self.start()

    async def until_sent(self) -> None:
        """Wait until the client has sent all of its body, for a response that is to come after it.

        Raises:
            ReadTimeout: nothing came for `Limits.read_timeout` seconds.
            SpoolFull: nobody reads the body, and there is no room for the rest of it.
            ClientDisconnected: the client went away.
            Exception: what the server's own `receive` raised.
        """
        self.start()
        self.sends += 1  # nothing moves on this side, as if a send were under way
        while self.body.coming and self._failure is None:
            before = self.body.received
            with anyio.move_on_after(self.limits.read_timeout) as scope:
                await self._changed()
            if scope.cancelled_caught and self.body.received == before:
                raise ReadTimeout(f"no request bytes for {self.limits.read_timeout} s")
        self.sends += 1
        if self._failure is not None:
            raise self._failure.with_traceback(self._failure_traceback)
        if self.client_gone:
            raise self.gone_error()

    async def receive(self) -> Message:
        """The wrapped application's `receive`.

        Raises:
            Exception: what the server's own `receive` raised.

        Cancellation: loses nothing; the next call gets the message.
        """
        if self._owner is not Owner.READER:
            self.start()
            if self._application is not None and self._application.messages:
                # A call under a scope that is cancelled already (that is how Starlette polls for
                # a disconnect) must end here, and not take a chunk along.
                await anyio.lowlevel.checkpoint()
        while True:
            mine = self._application
            if mine is not None and mine.messages and self._own_for_application():
                message = mine.pop()
                if self._room is not None:
                    self._room.ring()
                return message
            claimed = self._owner is Owner.READER
            if claimed or self._overflow is None:  # what is on its way round comes first
                if self._failure is not None and not claimed:
                    raise self._failure.with_traceback(self._failure_traceback)
                if self.client_gone:
                    return {"type": "http.disconnect"}
            if self._response_complete and (claimed or not self.unfinished):
                return {"type": "http.disconnect"}
            self.watch()
            await self._changed()
            # On asyncio a message may come before the cancellation of a scope is delivered; the
            # call is to end with the cancellation then, and not with a chunk that nobody takes.
            await anyio.lowlevel.checkpoint_if_cancelled()

    def response_complete(self) -> None:
        """The response is complete: whoever still waits in `receive` gets its disconnect."""
        self._response_complete = True
        if self._waiting:
            self._tell()

    async def drain(self) -> None:
        """Take in an upload that nobody will read, before the last message of its response.

        Sending that message while messages queue up kills the connection on one server and
        dead-locks the send on another; a client that is still writing may lose the response. It
        goes on, within the bounds of `Limits`, until the body ends; after that the pump still
        throws away what comes, so that the last send cannot be held up by it.
        """
        self._discard(ExchangeOver("the response is complete"))
        self.start()
        bound = self.body.received + self.limits.drain_bytes
        with anyio.move_on_after(self.limits.drain_timeout):
            while self.unfinished and self.body.received < bound:
                await self._changed()

    def break_reader(self, error: BaseException) -> None:
        """Make the reader, waiting or not, meet `error`; what it has not taken is dropped."""
        if self._channel is not None:
            self._channel.break_with(error)

    async def close(self, error: BaseException) -> None:
        """The exchange is over: stop the pump, and wake a reader that is still there.

        Args:
            error: what a read raises from now on.
        """
        self._response_complete = True
        if self._channel is not None:
            self._channel.break_with(error)
        if (pump := self._pump) is not None:
            pump.cancel()
            # it ends as soon as the server's receive() lets go of it
            with anyio.move_on_after(self.limits.abandon_timeout, shield=True):
                await pump.wait()
        if (overflow := self._overflow) is not None:
            self._overflow = None
            with anyio.move_on_after(self.limits.abandon_timeout, shield=True):
                await overflow.aclose()
        self._tell()

    # How a reader gets the body.

    def claim(self) -> None:
        """Take the body for a reader; any thread.

        Raises:
            BodyAlreadyClaimed: there is a reader, or the application has read from it itself.
        """
        with _claiming:
            if self._owner is not Owner.NOBODY:
                raise BodyAlreadyClaimed(f"the request body cannot be claimed: {self._owner.value}")
            self._owner = Owner.READER

    def reader(self, *, start: bool = True) -> BodyReader:
        """The reader of a body that was claimed; any thread, once.

        Args:
            start: begin to take messages in at once; else with the reader's first wait, which is
                what keeps a 100-continue from being sent for a body that nobody reads.
        """
        loop_thread_id = self.portal.thread_id
        here = threading.get_ident() == loop_thread_id
        ended = self._body is not None and self._body.phase is BodyPhase.ENDED
        if here and ended and self._overflow is None:
            return BodyReader(None, loop_thread_id, self._take_chunks())  # no need of a channel
        channel, room, receiver = loop_to_thread(
            self.portal,
            self.limits.request,
            timeout=self.limits.read_timeout,
            pace=self.limits.pace,
            on_demand=None if start else self._start_soon,
        )

        def connect() -> None:
            self._connect(channel, room)
            if start:
                self.start()

        if here:
            connect()
        else:
            self.portal.post(connect)
        return BodyReader(receiver, loop_thread_id)

    def _start_soon(self) -> None:
        self.portal.post(self.start)

    # The loop's own business.

    def _may_receive(self) -> bool:
        return not (self._response_complete or self.client_gone) and self._failure is None

    def _connect(self, channel: ByteChannel[bytes], room: LoopWaiter) -> None:
        """Re-route to the reader what is here and what will come."""
        self._channel, sink = channel, ForReader(channel, self.body)
        old_room, self._room = self._room, room
        if self._overflow is None:
            self._sink = sink
        else:
            self._overflow.sink, self._overflow.room = sink, room
        if old_room is not None:
            old_room.ring()  # the pump waits at the old place; it must look for the new one
        for chunk in self._take_chunks():
            channel.put_nowait(chunk, len(chunk))
        if self._response_complete:
            channel.break_with(ExchangeOver("the exchange is over"))
        elif self._overflow is not None:
            pass  # it has the end, too
        elif self._failure is not None:
            channel.end(self._failure)
        elif self.body.phase is not BodyPhase.OPEN:
            channel.end(self.body.error)

    def _take_chunks(self) -> deque[bytes]:
        """What has come before there was a reader, and is the reader's now."""
        return deque() if self._early is None else self._early.take_chunks()

    async def _run_pump(self) -> None:
        try:
            body, receive = self.body, self._server_receive
            while body.coming or (self._watching and not self.client_gone):
                message = await receive()
                chunk = body.feed(message)
                if body.phase is BodyPhase.GONE:
                    self.client_gone = True
                sink = self._sink
                if sink is None:
                    sink = self._first_sink()
                has_room = sink.put(message, chunk)
                if self._waiting or self._on_ready is not None or self.client_gone:
                    self._tell()
                # once the body has ended only the disconnect can come, which needs no room
                while not has_room and body.coming:
                    await self._make_room()
                    has_room = (self._sink or sink).has_room()  # it may be another by now
        except Exception as error:
            self._fail(error)
        finally:
            self._pump = None

    def _first_sink(self) -> Sink:
        if self._owner is Owner.READER:
            self._sink = self._early = ForLater(self.limits.prefetch_bytes)
        else:
            self._sink = self._early = self._application = ForApplication(
                self.limits.prefetch_bytes
            )
        return self._sink

    # When there is no room.

    async def _make_room(self) -> None:
        """Wait for room, though not longer than until something else is to be done."""
        if self._overflow is not None:
            await self._overflow.make_room()
            return
        assert self._sink is not None, "the pump has put something into it"
        if self._room is None:
            self._room = self.portal.waiter()
        if self.limits.duplex == "full":
            await self._room.wait()
            return
        if self._duplex is None:
            self._duplex = Duplex(self.limits.stall_timeout)
        # rung by receive, drain, _connect, and the reader's release
        await stall_or(self._room, self._duplex, self._count_sends, self._sink.unread)
        if self._duplex.way is Way.SPOOLING:
            if self.wanted is None or self.wanted():
                self._go_round(self._sink, self._room, self._duplex)
            else:
                self._discard(ExchangeOver("the handler has returned"))

    def _go_round(self, sink: Sink, room: LoopWaiter, duplex: Duplex) -> None:
        self._sink = self._overflow = Overflow(
            self.portal,
            self.limits,
            self.body,
            duplex,
            sink,
            room,
            sends=self._count_sends,
            on_fed=self._tell,
            on_end=self._overflow_ended,
        )

    def _count_sends(self) -> int:
        return self.sends

    def _overflow_ended(self, error: Exception | None) -> None:
        """The body goes straight to its reader again, or there will be no more of it."""
        assert self._overflow is not None, "it ends once, and not after it was abandoned"
        self._sink, self._overflow = self._overflow.sink, None
        if error is not None:
            self._cut(error)
        elif self._failure is not None:
            self._fail(self._failure)
        self._tell()

    def _discard(self, error: Exception) -> None:
        """Nobody will read the rest: throw it away, so that its client can go on."""
        self._sink = Nowhere()
        if self._overflow is not None:
            self._overflow.abandon()
            self._overflow = None
        if self._channel is not None:
            self._channel.break_with(error)
        if self._room is not None:
            self._room.ring()

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self._failure_traceback = error.__traceback__
        if isinstance(error, SpoolFull):
            self._cut(error)  # the rest has nowhere to go
        elif self._channel is not None and self._overflow is None:
            self._channel.end(error)
        self._tell()

    def _cut(self, error: Exception) -> None:
        """A part of the body is lost: nobody gets any more of it, and no send is waited for.

        The client may be one that reads nothing until it has written everything, so a send that
        is under way would not return by itself.
        """
        self._failure, self._failure_traceback = error, error.__traceback__
        logger.warning("%s %s: %s", self._scope["method"], self._scope["path"], error)
        self._discard(error)
        if self._on_cut is not None:
            self._on_cut(error)

    def _own_for_application(self) -> bool:
        with _claiming:
            if self._owner is Owner.READER:
                return False
            self._owner = Owner.APPLICATION
            return True

    async def _changed(self) -> None:
        waiter = self.portal.waiter()
        self._waiting.append(waiter)
        try:
            await waiter.wait()  # rung by the pump, response_complete and close
        finally:
            self._waiting.remove(waiter)

    def _tell(self) -> None:
        """Something has changed: let those look who wait for it."""
        for waiter in self._waiting:
            waiter.ring()
        if self._on_ready is not None and self.ready:
            callback, self._on_ready = self._on_ready, None
            callback()
        if self._on_gone is not None and self.client_gone:
            callback, self._on_gone = self._on_gone, None
            callback()
