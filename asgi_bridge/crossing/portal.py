# Rule 1: only this folder calls into a loop from another thread.
# Rule 2: any number of posts while the loop has not come round cost it one wake-up.
# Rule 3: a post to a loop that has ended is dropped. Nobody is left there to be told.
"""Portal: how other threads reach one running event loop."""

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Protocol

from ..logs import Rarely
from .shutdown import Shutdown
from .waiters import LoopWaiter

# Seconds. A flood of uploads that break off is one thing to know; so is what a proxy does.
BETWEEN_UPLOADS: Final = 1.0
BETWEEN_HINTS: Final = 3600.0


class Running(Protocol):
    """A background task that belongs to an exchange."""

    def cancel(self) -> None:
        """Ask it to stop; loop thread only."""

    async def wait(self) -> None:
        """Wait until it has ended; what it raised is dropped."""


class RunningHere(Running, Protocol):
    """A part of a task's work, which can be stopped without the rest of it."""

    def over(self, error: BaseException | None) -> bool:
        """It is over, with this error or none; whether it was stopped."""


class Portal(ABC):
    """One event loop, as seen from the threads around it. One object for each loop.

    Attributes:
        thread_id: `threading.get_ident()` of the loop's thread.
        shutdown: the exchanges that run there, and when they have to end.
        task: gives the running task, for comparing; loop thread only.
        look_is_due: `look_soon` has been called, and it has yet to come.
        broken_uploads: when the log may show another upload that broke off.
        stopped_bodies: when it may say again why a body stands still.
    """

    task: Callable[[], object]

    def __init__(self) -> None:
        self.thread_id = threading.get_ident()
        self.shutdown = Shutdown(self)
        self.broken_uploads = Rarely(BETWEEN_UPLOADS)
        self.stopped_bodies = Rarely(BETWEEN_HINTS)
        self._posted: deque[Callable[[], object]] = deque()  # any thread appends, the loop pops
        self._wake_pending = False  # any thread sets, the loop clears; see post

    def post(self, callback: Callable[[], object]) -> None:
        """Run `callback` soon on the loop's thread. Any thread; never waits, never raises."""
        # The order matters: append, then look; the loop clears, then pops. If we see the flag
        # set, the loop has yet to clear it and so will pop what we appended.
        self._posted.append(callback)
        if not self._wake_pending:
            self._wake_pending = True
            self._call_soon_threadsafe(self._run_posted)

    def _run_posted(self) -> None:
        self._wake_pending = False
        posted = self._posted
        for _ in range(len(posted)):  # what is posted meanwhile has asked for its own wake-up
            posted.popleft()()

    @abstractmethod
    def _call_soon_threadsafe(self, callback: Callable[[], object]) -> None:
        """Have the loop call `callback`; do nothing if the loop has ended."""

    can_linger = False

    def linger_soon(self, linger: Callable[[], None]) -> None:
        """Have the loop call `linger` once, at the end of this turn; only where `can_linger`.

        While it runs, which may wait for other threads, their posts do not wake the loop: they
        are run after it.
        """
        raise NotImplementedError

    def soon(self, callback: Callable[[], object]) -> None:
        """`post`, for callers on the loop's own thread: the callback runs with the next turn."""
        self.post(callback)

    @abstractmethod
    def checkpoint(self) -> Awaitable[None]:
        """Let the loop's other tasks run once."""

    @abstractmethod
    def waiter(self) -> LoopWaiter:
        """A new place for a task of this loop to wait at."""

    @abstractmethod
    def spawn(self, function: Callable[[], Coroutine[Any, Any, None]]) -> Running:
        """Start a background task; loop thread only. The caller cancels it and waits for it."""

    def spawn_free(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start a background task that nobody waits for; what it raises is dropped."""
        self.spawn(function)

    # A watch over sends that costs nothing where they return at once: what has not returned when
    # somebody looks has to wait.

    look_is_due = False

    def look_soon(self) -> None:
        """Have all that runs look at its sends, once, a moment from now; loop thread only."""
        raise AssertionError("there is no mark to look for")

    def mark(self) -> object | None:
        """Where the running task is, for `here`; None where that cannot be stopped from outside.

        Loop thread only.
        """
        return None

    def here(self, mark: Any) -> RunningHere:
        """What a task does since a mark; `over` is for the task to call. Loop thread only."""
        raise AssertionError("there is no mark")

    @abstractmethod
    def run_here(
        self,
        coroutine: Coroutine[Any, Any, None],
        on_wait: Callable[[Running], None],
    ) -> Awaitable[bool] | None:
        """Run a coroutine in the caller's own task, and say so if that has to wait.

        What has nothing to wait for then costs no task.

        Args:
            coroutine: what to run.
            on_wait: called, on the loop, the first time that it leaves the loop to other tasks,
                with what stops it.

        Returns:
            None where it has come to its end; else the rest of it, to be awaited at once, which
            returns whether it has come to its end, False where it was stopped.
        """
