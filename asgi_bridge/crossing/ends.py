"""The ends of a channel: what a thread and a task hold to send and to receive.

`loop_to_thread` and `thread_to_loop` join a channel with the two waiters that fit it. The thread's
ends block, with a timeout; the loop's ends await or return at once.
"""

from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from ..errors import ReadTimeout, WriteTimeout
from ..protocol.watermarks import Watermarks
from .channel import ByteChannel, EndOfStream
from .portal import Portal
from .waiters import LoopWaiter, ThreadWaiter

T = TypeVar("T")


class Source(Protocol):
    """Where a reader takes the chunks of a body."""

    def take(self) -> deque[bytes]:
        """Take all that is here, waiting for it if need be; `EndOfStream` at the end."""

    def release(self, size: int) -> None:
        """Give back the room of `size` bytes that were taken and are used up."""


class WholeBody:
    """A `Source` that has the whole body already: nothing to cross, nothing to wait for."""

    __slots__ = ("_chunks",)

    def __init__(self, chunks: deque[bytes]) -> None:
        self._chunks = chunks

    def take(self) -> deque[bytes]:
        if not self._chunks:
            raise EndOfStream
        taken, self._chunks = self._chunks, deque()
        return taken

    def release(self, size: int) -> None:
        pass


class _Receiver(Generic[T]):
    """What both receiving ends share: how room is given back."""

    __slots__ = ("_channel", "_step", "_used")

    def __init__(self, channel: ByteChannel[T]) -> None:
        self._channel = channel
        self._step = channel.release_step
        self._used = 0  # bytes used up whose room is not given back yet, less than _step

    def release(self, size: int) -> None:
        """Give back the room of `size` bytes that were taken and are used up.

        It is given back in steps, so that a thousand small chunks do not cost a thousand locks.
        """
        self._used += size
        if self._used >= self._step:
            self._give_back()

    def _give_back(self) -> None:
        used, self._used = self._used, 0
        self._channel.release(used)


class ThreadReceiver(_Receiver[T]):
    """Where a worker thread takes what a loop sends.

    Args:
        on_demand: called once, before the first wait; None where nobody needs to know.

    Threads: one worker thread at a time.
    """

    __slots__ = ("_on_demand", "_timeout", "_waiter")

    def __init__(
        self,
        channel: ByteChannel[T],
        waiter: ThreadWaiter,
        timeout: float | None,
        on_demand: Callable[[], None] | None,
    ) -> None:
        super().__init__(channel)
        self._waiter = waiter
        self._timeout = timeout
        self._on_demand = on_demand

    def take(self) -> deque[T]:
        """Take all that is held, waiting for it if need be.

        Raises:
            EndOfStream: all was taken and the sender has closed the channel.
            ReadTimeout: nothing came within the timeout.
            BaseException: what the channel was broken with.
        """
        if self._used:
            self._give_back()  # before a wait all room must be free: the sender may wait for it
        while (taken := self._channel.take_nowait()) is None:
            if self._on_demand is not None:
                self._on_demand()
                self._on_demand = None
            # woken by put_nowait, end and break_with
            if not self._waiter.wait(self._timeout):
                # For good: a read that was left short has lost what it had, so none may follow it.
                error = ReadTimeout(f"no request bytes for {self._timeout} s")
                self._channel.break_with(error)
                raise error
        return taken


class ThreadSender(Generic[T]):
    """Where a worker thread puts what a loop takes. Threads: one worker thread at a time."""

    __slots__ = ("_channel", "_kept", "_timeout", "_waiter")

    def __init__(
        self, channel: ByteChannel[T], waiter: ThreadWaiter, timeout: float | None
    ) -> None:
        self._channel = channel
        self._waiter = waiter
        self._timeout = timeout
        self._kept: T | None = None

    def keep(self, chunk: T) -> None:
        """Keep the only chunk there will be, for `end` to send: so the loop is woken once."""
        self._kept = chunk

    def put(self, chunk: T, size: int) -> None:
        """Send a chunk, then wait while the channel is full.

        Raises:
            WriteTimeout: the receiver took nothing within the timeout.
            BaseException: what the channel was broken with.
        """
        if self._channel.put_nowait(chunk, size):
            return
        while not self._channel.has_room():
            # woken by release and break_with
            if not self._waiter.wait(self._timeout):
                raise WriteTimeout(f"the client took no response bytes for {self._timeout} s")

    def end(self, error: BaseException | None = None) -> None:
        """Close the channel; the receiver meets `error`, if any, after what is held."""
        if error is None:
            self._channel.end(last=self._kept)
        else:
            self._channel.end(error)


class LoopReceiver(_Receiver[T]):
    """Where a task takes what a worker thread sends."""

    __slots__ = ("_waiter",)

    def __init__(self, channel: ByteChannel[T], waiter: LoopWaiter) -> None:
        super().__init__(channel)
        self._waiter = waiter

    async def take(self) -> deque[T]:
        """Take all that is held, waiting for it if need be.

        Raises:
            EndOfStream: all was taken and the sender has closed the channel.
            BaseException: what the channel was ended or broken with.

        Cancellation: nothing is lost; what is held stays held.
        """
        while (taken := self.take_nowait()) is None:
            await self._waiter.wait()  # woken by put_nowait, end and break_with
        return taken

    def take_nowait(self) -> deque[T] | None:
        """`take`, but None where it would wait."""
        if self._used:
            self._give_back()
        return self._channel.take_nowait()

    @property
    def exhausted(self) -> bool:
        """Whether the sender has closed the channel cleanly and all of it was taken."""
        return self._channel.exhausted

    def break_with(self, error: BaseException) -> None:
        """Drop what is held; the sender meets `error` in its next or present call."""
        self._channel.break_with(error)


def loop_to_thread(
    portal: Portal,
    watermarks: Watermarks,
    *,
    timeout: float | None,
    on_demand: Callable[[], None] | None = None,
) -> tuple[ByteChannel[bytes], LoopWaiter, ThreadReceiver[bytes]]:
    """A channel into a thread: the channel, where its sender waits for room, the thread's end."""
    room, reader = portal.waiter(), ThreadWaiter()
    channel = ByteChannel[bytes](watermarks, wake_sender=room.wake, wake_receiver=reader.wake)
    return channel, room, ThreadReceiver(channel, reader, timeout, on_demand)


def thread_to_loop(
    portal: Portal, watermarks: Watermarks, *, timeout: float | None
) -> tuple[ThreadSender[T], LoopReceiver[T]]:
    """A channel out of a thread: the thread's end and the loop's."""
    writer, bell = ThreadWaiter(), portal.waiter()
    channel: ByteChannel[T] = ByteChannel(
        watermarks, wake_sender=writer.wake, wake_receiver=bell.wake
    )
    return ThreadSender(channel, writer, timeout), LoopReceiver(channel, bell)
