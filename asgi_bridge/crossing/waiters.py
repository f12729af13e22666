"""How one side of a channel waits: a thread on a lock, a task on its loop.

Both kinds are sticky: a wake that comes before the wait ends it at once, so there is no moment in
which a wake can be lost. A wake may also come for nothing, so whoever waits looks again after it.
When a channel wakes whom is its own business (channel.py, body_channel.py).
"""

from threading import TIMEOUT_MAX, Lock
from typing import Protocol


class LoopWaiter(Protocol):
    """Where one task waits on its loop, to be woken from any thread."""

    def wake(self) -> None:
        """End the wait, or the next one. Any thread; never raises, not even after the loop."""

    def ring(self) -> None:
        """`wake`, for callers on the loop's own thread."""

    async def wait(self) -> None:
        """Wait to be woken. One task at a time; cancellation leaves the waiter usable."""


class ThreadWaiter:
    """Where one worker thread waits; a binary semaphore made of one lock.

    Measured against `threading.Condition`: half the cost per crossing, since a lock needs no
    second lock and no list of waiters.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = Lock()
        self._lock.acquire()

    def wake(self) -> None:
        """End the wait, or the next one. Any thread."""
        try:
            self._lock.release()
        except RuntimeError:
            pass  # it was awake: two wakes count as one

    def wait(self, timeout: float | None) -> bool:
        """Wait to be woken.

        Args:
            timeout: longest wait in seconds, None for no limit.

        Returns:
            False if the time ran out.
        """
        # a lock refuses more, which is some centuries
        return self._lock.acquire(timeout=-1 if timeout is None else min(timeout, TIMEOUT_MAX))
