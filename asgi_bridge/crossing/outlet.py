# Most responses are one piece, known when the function returns: the worker keeps it, and the loop
# finds it together with the end. So what only a stream needs, the two waiters, is made by the side
# that first has to wait. A wake that comes before there is a waiter is lost, and therefore whoever
# makes one looks at the channel again before it waits.
"""The way out of a thread: one object, of which the worker holds one end and a task the other."""

from collections import deque
from typing import TypeVar

from ..errors import WriteTimeout
from ..protocol.watermarks import Watermarks
from .channel import Channel
from .ending import EndOfStream
from .portal import Portal
from .waiters import LoopWaiter, ThreadWaiter

T = TypeVar("T")


class Outlet(Channel[T]):
    """A channel out of a worker thread into a task.

    Args:
        portal: the loop of the task.
        watermarks: when to stop the worker and when to let it go on.
        timeout: longest wait of the worker in seconds for the task to use up anything, None for no
            limit.

    Threads: `put`, `keep` and `end` one worker thread at a time; `take`, `take_nowait` and `used`
    the loop's; `break_with` any.
    """

    __slots__ = ("_bell", "_kept", "_moves", "_portal", "_room", "_timeout", "_used")

    def __init__(self, portal: Portal, watermarks: Watermarks, *, timeout: float | None) -> None:
        super().__init__(watermarks)
        self._portal = portal
        self._timeout = timeout
        self._kept: T | None = None
        self._room: ThreadWaiter | None = None  # where the worker waits, made by it
        self._bell: LoopWaiter | None = None  # where the task waits, made by it
        self._moves = 0  # how often something was used up; the loop counts, the worker looks
        self._used = 0  # bytes used up whose room is not given back yet; loop only

    # The worker's end.

    def keep(self, chunk: T) -> None:
        """Keep the only chunk there will be, for `finish` to send: so the loop is woken once."""
        self._kept = chunk

    def put(self, chunk: T, size: int) -> None:
        """Send a chunk, then wait while the channel is full.

        Raises:
            WriteTimeout: the task used up nothing within the timeout. One that is slow is no
                reason: from the high watermark to the low one it may take many timeouts.
            BaseException: what the channel was broken with.
        """
        if self.put_nowait(chunk, size):
            return
        if self._room is None:
            self._room = ThreadWaiter()
        moves = self._moves
        while not self.has_room():
            # woken by release and break_with
            if not self._room.wait(self._timeout):
                if self._moves == moves:
                    raise WriteTimeout(f"the client took no response bytes for {self._timeout} s")
                moves = self._moves

    def finish(self, error: BaseException | None = None) -> None:
        """Close the channel; the task meets `error`, if any, after what is held."""
        if error is None:
            self.end(last=self._kept)
        else:
            self.end(error)
            if self._ending is not error:  # nobody will meet it, and its frames hold us
                error.__traceback__ = None

    # The task's end.

    def take_whole(self) -> deque[T] | None:
        """All that the worker has put out, if it has finished well by now; else None."""
        with self._lock:
            if type(self._ending) is not EndOfStream:
                return None
            taken, self._chunks = self._chunks, deque()
            return taken

    async def take(self) -> deque[T]:
        """Take all that is held, waiting for it if need be.

        Raises:
            EndOfStream: all was taken and the worker has closed the channel.
            BaseException: what the channel was ended or broken with.

        Cancellation: nothing is lost; what is held stays held.
        """
        while (taken := self.take_held()) is None:
            if self._bell is None:
                self._bell = self._portal.waiter()
            else:
                await self._bell.wait()  # woken by put_nowait, end and break_with
        return taken

    def take_held(self) -> deque[T] | None:
        """`take`, but None where it would wait."""
        if self._used:
            self._give_back()  # before a wait all room must be free: the worker may wait for it
        return self.take_nowait()

    def used(self, size: int) -> None:
        """Give back the room of `size` bytes that were taken and are used up.

        It is given back in steps, so that a thousand small chunks do not cost a thousand locks.
        """
        self._moves += 1
        self._used += size
        if self._used >= self.release_step:
            self._give_back()

    def _give_back(self) -> None:
        used, self._used = self._used, 0
        self.release(used)

    def _wake_sender(self) -> None:
        if self._room is not None:
            self._room.wake()

    def _wake_receiver(self) -> None:
        if self._bell is not None:
            self._bell.wake()
