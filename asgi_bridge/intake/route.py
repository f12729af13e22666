# Where the body goes: to the application, to a reader, the way round over a disk, or nowhere.
#
# Rule 1: there is one place at a time, and what goes from one to the next keeps its order.
# Rule 2: each place has a bound in bytes. Where it is reached the pump waits; where both sides
#         stand still, the body goes the way round (protocol/duplex.py, overflow.py).
"""Route: the way of a request's body from the pump to whoever reads it."""

import logging
from collections import deque
from typing import Final

from ..crossing.body_channel import BodyChannel
from ..crossing.waiters import LoopWaiter
from ..errors import ExchangeOver, SpoolFull
from ..protocol.duplex import Duplex, Way
from ..protocol.request import BodyPhase
from .overflow import Overflow, stall_or
from .sinks import ForApplication, ForLater, ForReader, Nowhere, Sink
from .state import RequestState

logger: Final = logging.getLogger("asgi_bridge")


class Route:
    """One body's way.

    Args:
        state: the request.
        claimed: whether the body is a reader's from the beginning.
        whole: all of such a body, if it has come already.

    Attributes:
        sink: where the pump puts what comes; may be another after each wait.
        application: what the application may pop, None for a body that was claimed before.
        overflow: the sink, while the body goes the way round.

    Threads: the loop's.
    """

    overflow: Overflow | None = None
    application: ForApplication | None = None
    _channel: BodyChannel | None = None  # for the reader
    _room: LoopWaiter | None = None  # where the pump waits for room, or the overflow's feeder
    _duplex: Duplex | None = None  # made when the pump first finds no room

    def __init__(self, state: RequestState, *, claimed: bool, whole: bytes = b"") -> None:
        self._state = state
        self._early: ForApplication | ForLater  # what has come before there was a reader
        if claimed:
            self._early = ForLater(state.limits.prefetch_bytes, whole)
        else:
            self._early = self.application = ForApplication(state.limits.prefetch_bytes, state.body)
        self.sink: Sink = self._early

    # The reader's side.

    def connect(self, channel: BodyChannel, room: LoopWaiter, *, over: bool) -> None:
        """Re-route to the reader what is here and what will come.

        Args:
            channel: where the reader takes it from.
            room: rung when the channel has room again.
            over: whether the exchange is over already.
        """
        state = self._state
        self._channel, sink = channel, ForReader(channel, state.body)
        old_room, self._room = self._room, room
        if self.overflow is None:
            self.sink = sink
        else:
            self.overflow.sink, self.overflow.room = sink, room
        if old_room is not None:
            old_room.ring()  # the pump waits at the old place; it must look for the new one
        for chunk in self.take_chunks():
            sink.put_earlier(chunk)
        if over or state.refused is not None:
            channel.break_with(state.refused or ExchangeOver("the exchange is over"))
        elif self.overflow is not None:
            pass  # it has the end, too
        elif state.failure is not None:
            channel.end(state.failure)
        elif state.body.phase is not BodyPhase.OPEN:
            channel.end(state.body.error)

    def take_chunks(self) -> deque[bytes]:
        """What has come before there was a reader, and is the reader's now."""
        return self._early.take_chunks()

    @property
    def reader_failure(self) -> BaseException | None:
        """What the reader meets, or has met, instead of an end."""
        return None if self._channel is None else self._channel.failure

    def break_reader(self, error: BaseException) -> None:
        """Make the reader, waiting or not, meet `error`; what it has not taken is dropped."""
        if self._channel is not None:
            self._channel.break_with(error)

    @property
    def idle(self) -> bool:
        """Whether nothing is held for the application, or on its way."""
        mine = self.application
        return mine is not None and not mine.messages and self.overflow is None

    # The pump's side.

    def fail(self, error: Exception) -> None:
        """Say that no more will come: the server's receive(), or what is done here, failed."""
        if isinstance(error, SpoolFull):
            self._cut(error)  # the rest has nowhere to go
            return
        self._state.latch(error)
        if self._channel is not None and self.overflow is None:
            self._channel.end(error)

    async def make_room(self) -> None:
        """Wait for room, though not longer than until something else is to be done."""
        if self.overflow is not None:
            await self.overflow.make_room()
            return
        state = self._state
        if self._room is None:
            self._room = state.portal.waiter()
        if state.limits.duplex == "full":
            await self._room.wait()
            return
        if self._duplex is None:
            self._duplex = Duplex(state.limits.stall_timeout)
        # rung by made_room, discard, connect, and the reader's release
        await stall_or(self._room, self._duplex, state.count_sends, self.sink.unread)
        if self._duplex.way is Way.SPOOLING:
            if state.wanted is None or state.wanted():
                self._go_round(self.sink, self._room, self._duplex)
            else:
                self.discard(ExchangeOver("the handler has returned"))

    def made_room(self) -> None:
        """The application has taken something."""
        if self._room is not None:
            self._room.ring()

    def discard(self, error: Exception) -> None:
        """Nobody will read the rest: throw it away, so that its client can go on."""
        self.sink = Nowhere()
        if self.overflow is not None:
            self.overflow.abandon()
            self.overflow = None
        self.break_reader(error)
        self.made_room()

    async def aclose(self) -> None:
        """Drop what is on its way round."""
        overflow, self.overflow = self.overflow, None
        if overflow is not None:
            await overflow.aclose()

    # The way round.

    def _go_round(self, sink: Sink, room: LoopWaiter, duplex: Duplex) -> None:
        state = self._state
        self.sink = self.overflow = Overflow(
            state.portal,
            state.limits,
            state.body,
            duplex,
            sink,
            room,
            sends=state.count_sends,
            on_fed=state.tell,
            on_end=self._overflow_ended,
        )

    def _overflow_ended(self, error: Exception | None) -> None:
        """The body goes straight to its reader again, or there will be no more of it."""
        assert self.overflow is not None, "it ends once, and not after it was abandoned"
        self.sink, self.overflow = self.overflow.sink, None
        if error is not None:
            self._cut(error)
        elif self._state.failure is not None:
            self.fail(self._state.failure)
        self._state.tell()

    def _cut(self, error: Exception) -> None:
        """A part of the body is lost: nobody gets any more of it, and no send is waited for.

        The client may be one that reads nothing until it has written everything, so a send that
        is under way would not return by itself.
        """
        logger.warning("%s: %s", self._state, error)
        self.discard(error)
        self._state.cut(error)
