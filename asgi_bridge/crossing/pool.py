# How handlers come to their threads.
#
# lines.py says who may run, crew.py has the threads; here is what both are for, and one thing more:
# quick jobs are handed over together. The loop puts the jobs of one turn in line, wakes one worker
# for all of them, and lingers (see linger.py). If that was in vain, every job gets its own worker.
"""WorkerPool: the threads that handlers run on, rationed by readiness."""

import logging
import weakref
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Final, Self

import anyio
import anyio.to_thread

from ..errors import ExchangeOver, Overloaded
from .allocator import keep_freed_memory
from .crew import Crew
from .forks import RenewedLock, on_fork
from .lines import Job, Lines
from .linger import LINGER, Patience
from .waiters import ThreadWaiter

logger = logging.getLogger("asgi_bridge")

# 40 is what anyio's default limiter allows, so moving a handler here from a framework's own
# threads changes no one's concurrency. The backlog is out of the air: a second's worth of small
# requests on a slow machine.
DEFAULT_SIZE: Final = 40
DEFAULT_BACKLOG: Final = 1000
# How long `close` waits for running jobs, seconds.
DEFAULT_CLOSE_TIMEOUT: Final = 5.0


# Held to replace what was closed, so one lock serves all pools.
_opening = RenewedLock()


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """A moment of a pool: workers taken, threads alive, jobs waiting in each line."""

    busy: int
    threads: int
    ready: int
    unready: int


class Begins(Enum):
    """When a job that was submitted begins."""

    NOW = "now"
    WITH_LINGER = "as soon as the loop lingers"
    LATER = "when its turn comes"


class WorkerPool:
    """Threads for blocking handlers: a fixed number, a bounded backlog.

    Args:
        size: most threads.
        backlog: most requests that wait for one; past it `Overloaded` is raised.
        name: prefix of the threads' names.

    Raises:
        ValueError: size below 1, or backlog below 0.

    Whoever makes a pool closes it: with `async with`, `with`, `close`, or by giving it to a
    `handler`, which closes it with the lifespan. What is left is closed at the interpreter's exit.
    In the child of a fork a pool begins anew, with no threads and nothing in line.

    Threads: every method may be called from anywhere.
    """

    def __init__(
        self,
        size: int = DEFAULT_SIZE,
        backlog: int = DEFAULT_BACKLOG,
        *,
        name: str = "asgi-bridge",
    ) -> None:
        if size < 1:
            raise ValueError(f"a pool needs at least 1 worker, got size={size}")
        if backlog < 0:
            raise ValueError(f"backlog must not be negative, got {backlog}")
        self.size = size
        self.backlog = backlog
        self._name = name
        keep_freed_memory()
        self._start_over()
        on_fork(self)

    def _start_over(self) -> None:
        self._lines = Lines(self.size, self.backlog)
        self._crew = Crew(self._lines, self._name)
        self._patience = Patience()  # guarded by the crew's lock
        self._reopens = False  # whether the next job opens a closed pool
        # runs when the pool is garbage, at the interpreter's exit, or on close: once
        self._stop = weakref.finalize(self, self._crew.stop)

    def begin_anew(self) -> None:
        """In the child of a fork, forget what is the parent's; a closed pool stays closed."""
        parents, closed = self._crew, self.closed
        self._stop.detach()
        parents.disown()
        self._start_over()
        if closed:
            self._stop()

    def open(self) -> None:
        """Make a pool that was closed usable again, with new threads; else do nothing."""
        with _opening.lock:
            if self.closed:
                self._start_over()

    def submit(self, job: Job, *, ready: bool, may_linger: bool = False) -> Begins:
        """Run a job on a worker, now or when its turn comes.

        Args:
            job: what to run.
            ready: whether it may take any worker, see rule 1 of lines.py.
            may_linger: whether the caller can have its loop call `linger`, see above.

        Returns:
            When it begins. For WITH_LINGER the caller's loop must call `linger` before it next
            waits for I/O.

        Raises:
            Overloaded: it would have to wait and the backlog is full; nothing was kept.
            ExchangeOver: the pool is closed.
        """
        if self._crew.closed and self._reopens:
            self.open()
        crew, lines = self._crew, self._lines
        with crew.lock:
            if crew.closed:
                raise ExchangeOver("the worker pool is closed")
            if may_linger and ready and self._patience.willing() and lines.hold(job):
                return Begins.WITH_LINGER
            if lines.waiting:
                crew.begin_all()  # those that were held for a linger come first
            if lines.take_place(ready=ready):
                crew.begin(job)
                return Begins.NOW
            lines.stand(job, ready=ready)
            return Begins.LATER

    def linger(self) -> None:
        """Have the jobs in line done, and wait for it, not longer than LINGER.

        Called on a loop's thread, which it blocks for that long; the worker needs the GIL anyway.
        """
        crew, waiter = self._crew, ThreadWaiter()
        with crew.lock:
            first = self._lines.next_job()
            if first is None:
                return
            try:
                crew.begin(first)
            except Overloaded as error:
                first.refused(error)
                crew.begin_all()
                return
            crew.lingering.append(waiter)
        in_time = waiter.wait(LINGER)
        with crew.lock:
            if in_time:
                self._patience.hit()
                return
            self._patience.miss()
            if waiter in crew.lingering:
                crew.lingering.remove(waiter)
            crew.begin_all()

    def promote(self, job: Job) -> None:
        """A waiting job has become ready: let it take any worker from now on.

        It goes to the end of the ready line; a job that has begun, or is ready, stays as it is.
        """
        with self._crew.lock:
            self._lines.promote(job)
            self._crew.begin_all()

    def withdraw(self, job: Job) -> bool:
        """Take a job out of its line; False if it has begun."""
        with self._crew.lock:
            return self._lines.withdraw(job)

    def statistics(self) -> PoolStatistics:
        """A consistent look at the pool, for tests and logs."""
        lines = self._lines
        with self._crew.lock:
            return PoolStatistics(
                lines.busy, len(self._crew.threads), len(lines.ready), len(lines.unready)
            )

    @property
    def closed(self) -> bool:
        """Whether the pool has been closed."""
        return self._crew.closed

    def close(self, timeout: float = DEFAULT_CLOSE_TIMEOUT, *, until_needed: bool = False) -> None:
        """Take no more jobs, refuse the waiting ones, let the running ones end.

        Args:
            timeout: longest wait for the running jobs, in seconds. Threads that are still busy
                then are left to themselves, with a line in the log; they end with their jobs.
            until_needed: the next job opens the pool again, instead of being refused.
        """
        self._reopens = until_needed
        self._stop()
        stuck = self._crew.join(timeout)
        if stuck:
            logger.warning(
                "%d worker threads of %s are still busy %s s after it was closed",
                stuck,
                self._name,
                timeout,
            )

    async def aclose(self, *, until_needed: bool = False) -> None:
        """`close`, for a task: it waits without blocking the loop."""
        self._reopens = until_needed
        self._stop()
        with anyio.CancelScope(shield=True):  # bounded: close has a timeout
            # a thread of its own: those that all share may be taken, by handlers for example
            close = partial(self.close, until_needed=until_needed)
            await anyio.to_thread.run_sync(close, limiter=anyio.CapacityLimiter(1))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        seen = self.statistics()
        waiting = seen.ready + seen.unready
        state = " closed" if self.closed else ""
        return f"<WorkerPool busy={seen.busy}/{self.size} waiting={waiting}/{self.backlog}{state}>"
