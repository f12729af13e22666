"""The way into a thread: what a worker reads from, and the channel that a loop fills for it."""

from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Generic, NoReturn, Protocol, TypeVar

from ..errors import ReadTimeout
from ..protocol.pace import Pace, nothing_came
from ..protocol.watermarks import Watermarks
from .body_channel import BodyChannel
from .channel import Channel
from .ending import EndOfStream as EndOfStream  # what `take` raises at the end
from .interrupt import current_interrupt
from .portal import Portal
from .waiters import LoopWaiter, ThreadWaiter

T = TypeVar("T")


class Source(Protocol):
    """Where a reader takes the chunks of a body."""

    def take(self) -> deque[bytes]:
        """Take all that is here, waiting for it if need be; `EndOfStream` at the end."""

    def release(self, size: int) -> None:
        """Give back the room of `size` bytes that were taken and are used up."""


class ThreadReceiver(Generic[T]):
    """Where a worker thread takes what a loop sends.

    Args:
        channel: what the loop puts into.
        waiter: what that channel wakes.
        timeout: longest wait in seconds, None for no limit.
        on_demand: called once, before the first wait; None where nobody needs to know.
        pace: what holds the sender to a rate, None where nothing does.

    Threads: one worker thread at a time.
    """

    __slots__ = (
        "_channel",
        "_on_demand",
        "_pace",
        "_passed",
        "_step",
        "_timeout",
        "_used",
        "_waiter",
    )

    def __init__(
        self,
        channel: Channel[T],
        waiter: ThreadWaiter,
        timeout: float | None,
        on_demand: Callable[[], None] | None,
        pace: Pace | None = None,
    ) -> None:
        self._channel = channel
        self._step = channel.release_step
        self._used = 0  # bytes used up whose room is not given back yet, less than _step
        self._waiter = waiter
        self._timeout = timeout
        self._on_demand = on_demand
        self._pace = pace
        self._passed = 0  # bytes used up whose room was given back

    def take(self) -> deque[T]:
        """Take all that is held, waiting for it if need be.

        Raises:
            EndOfStream: all was taken and the sender has closed the channel.
            ReadTimeout: nothing came within the timeout.
            BodyTooSlow: what came did not keep up the pace.
            BaseException: what the channel was broken with.
        """
        if self._used:
            self._give_back()  # before a wait all room must be free: the sender may wait for it
        while (taken := self._channel.take_nowait()) is None:
            if self._on_demand is not None:
                self._on_demand()
                self._on_demand = None
            began = monotonic()
            if not self._wait():
                taken = self._channel.take_nowait()  # it may not have been woken for a little
                if taken is not None:
                    return taken
                self._give_up(nothing_came(self._timeout))
            if self._pace is not None:
                received = self._passed + self._channel.statistics().held_bytes
                failure = self._pace.failure_after(monotonic() - began, received)
                if failure is not None:
                    self._give_up(failure)
        return taken

    def _wait(self) -> bool:
        interrupt = current_interrupt()
        if interrupt is None:
            return self._waiter.wait(
                self._timeout
            )  # woken by any end, and by put_nowait or soon after it
        interrupt.begin(self._channel)
        try:
            return self._waiter.wait(self._timeout)
        finally:
            interrupt.end()

    def _give_up(self, error: ReadTimeout) -> NoReturn:
        # For good: a read that was left short has lost what it had, so none may follow it.
        self._channel.break_with(error)
        raise error

    def release(self, size: int) -> None:
        """Give back the room of `size` bytes that were taken and are used up.

        It is given back in steps, so that a thousand small chunks do not cost a thousand locks.
        """
        self._used += size
        if self._used >= self._step:
            self._give_back()

    def _give_back(self) -> None:
        used, self._used = self._used, 0
        self._passed += used
        self._channel.release(used)


def loop_to_thread(
    portal: Portal,
    watermarks: Watermarks,
    *,
    timeout: float | None,
    on_demand: Callable[[], None] | None = None,
    pace: Pace | None = None,
) -> tuple[BodyChannel, LoopWaiter, ThreadReceiver[bytes]]:
    """A channel into a thread: the channel, where its sender waits for room, the thread's end."""
    room, reader = portal.waiter(), ThreadWaiter()
    channel = BodyChannel(
        watermarks, wake_sender=room.wake, wake_receiver=reader.wake, soon=portal.soon
    )
    return channel, room, ThreadReceiver(channel, reader, timeout, on_demand, pace)
