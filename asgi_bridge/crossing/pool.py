# Who runs where.
#
# Rule 1: a job that is ready may take any worker. One that is not (its request has sent less than
#         the prefetch and not all it has) may take a worker only while fewer than half are taken.
#         So a client in lock-step is served at once, and stalled uploads hold half at the most.
# Rule 2: a job that has to wait stands in one of two lines, whose common length is bounded. A free
#         worker serves the ready line first.
# Rule 3: a worker that ends a job takes the next from the lines itself, and an idle one is woken
#         last in, first out: under load no thread is put to sleep just to be woken. (A SimpleQueue
#         wakes one idle getter more with every get, and each must have the GIL to find nothing.)
# Rule 4: quick jobs are handed over together. To wake a thread, be woken by it through a selector,
#         and pass the GIL twice costs some 90 us (measured: 2 cores, Linux), a quick job 5. So the
#         loop puts the jobs of one turn in line, wakes one worker for all, and lingers: it waits
#         on a lock, with the GIL let go, until the worker has done them (12 us there and back) or
#         LINGER is over. Jobs that outlast it make the pool give up lingering, for longer and
#         longer.
# Rule 5: threads are started when they are first needed, and none holds the pool alive.
"""WorkerPool: the threads that handlers run on, rationed by readiness."""

import logging
import threading
import weakref
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from enum import Enum
from time import monotonic
from typing import Final, Self

import anyio
import anyio.to_thread

from ..errors import BridgeError, ExchangeOver, Overloaded
from .waiters import ThreadWaiter

logger = logging.getLogger("asgi_bridge")

# 40 is what anyio's default limiter allows, so moving a handler here from a framework's own
# threads changes no one's concurrency. The backlog is out of the air: a second's worth of small
# requests on a slow machine.
DEFAULT_SIZE: Final = 40
DEFAULT_BACKLOG: Final = 1000
# How long a loop lingers for quick jobs, in seconds, and after how many misses in a row the pause
# until it tries again grows no more (at 2 ** 10 jobs). Twice the cost of not lingering, so that a
# miss costs little more than it could have saved.
LINGER: Final = 0.0002
MOST_MISSES: Final = 10
# How long `close` waits for running jobs, seconds.
DEFAULT_CLOSE_TIMEOUT: Final = 5.0


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """A moment of a pool: workers taken, threads alive, jobs waiting in each line."""

    busy: int
    threads: int
    ready: int
    unready: int


class Job(ABC):
    """One call for a worker, and its place in the lines; submitted once."""

    __slots__ = ("line",)

    def __init__(self) -> None:
        self.line: deque[Job] | None = None  # guarded by the pool's lock; None once begun

    @abstractmethod
    def run(self) -> None:
        """What the worker does. Must not raise."""

    @abstractmethod
    def done(self) -> None:
        """Called on the worker, once its place in the pool is free again. Must not raise."""

    @abstractmethod
    def refused(self, error: BridgeError) -> None:
        """It will not run: the pool was closed, or has no thread for it. Any thread."""


class Begins(Enum):
    """When a job that was submitted begins."""

    NOW = "now"
    WITH_LINGER = "as soon as the loop lingers"
    LATER = "when its turn comes"


class _Worker:
    """One thread, as the pool sees it."""

    __slots__ = ("job", "waiter")

    def __init__(self, job: Job | None) -> None:
        self.job = job  # what to do when woken, None: end; set before the wake
        self.waiter = ThreadWaiter()


class _Shared:
    """What the threads of a pool share; they hold this and not the pool."""

    __slots__ = (
        "busy",
        "closed",
        "idle",
        "lingering",
        "lock",
        "ready",
        "size",
        "threads",
        "unready",
    )

    def __init__(self, size: int) -> None:
        self.size = size
        self.lock = threading.Lock()
        # All that follows is guarded by lock.
        self.ready: deque[Job] = deque()
        self.unready: deque[Job] = deque()
        self.busy = 0
        self.idle: list[_Worker] = []  # the last to fall idle is at the end
        self.threads: list[threading.Thread] = []
        self.lingering: list[ThreadWaiter] = []  # loops that wait for a worker to fall idle
        self.closed = False

    def may_begin(self, *, ready: bool) -> bool:
        """Whether a job may take a worker now (rule 1)."""
        return self.busy < self.size if ready else 2 * self.busy < self.size

    def next_job(self) -> Job | None:
        """Give a worker's place to the job whose turn it is, None where no job may begin."""
        for line, ready in ((self.ready, True), (self.unready, False)):
            if line and self.may_begin(ready=ready):
                job = line.popleft()
                job.line = None
                self.busy += 1
                return job
        return None


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
        self._start_over()

    def _start_over(self) -> None:
        self._shared = _Shared(self.size)
        self._misses = 0  # how often in a row lingering was in vain; guarded by the lock
        self._skip = 0  # for how many jobs more it is not tried again; likewise
        # runs when the pool is garbage, at the interpreter's exit, or on close: once
        self._stop = weakref.finalize(self, _stop_threads, self._shared)

    def open(self) -> None:
        """Make a pool that was closed usable again, with new threads; else do nothing."""
        if self.closed:
            self._start_over()

    def submit(self, job: Job, *, ready: bool, may_linger: bool = False) -> Begins:
        """Run a job on a worker, now or when its turn comes.

        Args:
            job: what to run.
            ready: whether it may take any worker, see rule 1 of this module.
            may_linger: whether the caller can have its loop call `linger`, see rule 4.

        Returns:
            When it begins. For WITH_LINGER the caller's loop must call `linger` before it next
            waits for I/O.

        Raises:
            Overloaded: it would have to wait and the backlog is full; nothing was kept.
            ExchangeOver: the pool is closed.
        """
        shared = self._shared
        with shared.lock:
            if shared.closed:
                raise ExchangeOver("the worker pool is closed")
            line = shared.ready if ready else shared.unready
            begins = shared.may_begin(ready=ready) and (not line or line is shared.ready)
            if begins and may_linger and self._is_quick():
                line.append(job)
                job.line = line
                return Begins.WITH_LINGER
            if begins and not line:
                shared.busy += 1
                self._begin(job)
                return Begins.NOW
            if len(shared.ready) + len(shared.unready) >= self.backlog:
                raise Overloaded
            line.append(job)
            job.line = line
            return Begins.LATER

    def linger(self) -> None:
        """Have the jobs in line done, and wait for it, not longer than LINGER.

        Called on a loop's thread, which it blocks for that long; the worker needs the GIL anyway.
        """
        shared = self._shared
        with shared.lock:
            begun = shared.next_job()
            if begun is None:
                return
            waiter = ThreadWaiter()
            shared.lingering.append(waiter)
            self._begin_or_refuse(begun)
        if waiter.wait(LINGER):
            self._misses = 0
            return
        with shared.lock:
            if waiter in shared.lingering:
                shared.lingering.remove(waiter)
            self._misses = min(self._misses + 1, MOST_MISSES)
            self._skip = 1 << self._misses
            while (begun := shared.next_job()) is not None:
                self._begin_or_refuse(begun)

    def _is_quick(self) -> bool:
        """Whether it is worth while to linger for the next job; called with the lock held."""
        if self._skip:
            self._skip -= 1
        return not self._skip

    def promote(self, job: Job) -> None:
        """A waiting job has become ready: let it take any worker from now on.

        It goes to the end of the ready line; a job that has begun, or is ready, stays as it is.
        """
        shared = self._shared
        with shared.lock:
            if job.line is not shared.unready:
                return
            shared.unready.remove(job)
            shared.ready.append(job)
            job.line = shared.ready
            begun = shared.next_job()
            if begun is not None:
                self._begin_or_refuse(begun)

    def withdraw(self, job: Job) -> bool:
        """Take a job out of its line; False if it has begun."""
        with self._shared.lock:
            if job.line is None:
                return False
            job.line.remove(job)
            job.line = None
            return True

    def statistics(self) -> PoolStatistics:
        """A consistent look at the pool, for tests and logs."""
        shared = self._shared
        with shared.lock:
            return PoolStatistics(
                shared.busy, len(shared.threads), len(shared.ready), len(shared.unready)
            )

    @property
    def closed(self) -> bool:
        """Whether the pool has been closed."""
        return self._shared.closed

    def close(self, timeout: float = DEFAULT_CLOSE_TIMEOUT) -> None:
        """Take no more jobs, refuse the waiting ones, let the running ones end.

        Args:
            timeout: longest wait for the running jobs, in seconds. Threads that are still busy
                then are left to themselves, with a line in the log; they end with their jobs.
        """
        self._stop()
        waiting = [t for t in self._shared.threads if t is not threading.current_thread()]
        stuck = join_all(waiting, timeout)
        if stuck:
            logger.warning(
                "%d worker threads of %s are still busy %s s after it was closed",
                stuck,
                self._name,
                timeout,
            )

    async def aclose(self) -> None:
        """`close`, for a task: it waits without blocking the loop."""
        self._stop()
        with anyio.CancelScope(shield=True):  # bounded: close has a timeout
            await anyio.to_thread.run_sync(self.close)

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

    def _begin(self, job: Job) -> None:
        """Give a job that has a place to a worker; called with the lock held.

        Raises:
            Overloaded: the system has no more threads; the place is free again.
        """
        shared = self._shared
        if shared.idle:
            worker = shared.idle.pop()
            worker.job = job
            worker.waiter.wake()
            return
        thread = threading.Thread(
            target=_work,
            args=(shared, _Worker(job)),
            name=f"{self._name}-{len(shared.threads)}",
            daemon=True,
        )
        try:
            thread.start()
        except RuntimeError as error:
            shared.busy -= 1
            raise Overloaded from error
        shared.threads.append(thread)

    def _begin_or_refuse(self, job: Job) -> None:
        """`_begin` for a job whose submitter is not here to be told."""
        try:
            self._begin(job)
        except Overloaded as error:
            job.refused(error)


def _work(shared: _Shared, worker: _Worker) -> None:
    """The body of a worker thread."""
    while (job := worker.job) is not None:
        worker.job = None
        following: Job | None = job
        del job
        while following is not None:
            job = following
            job.run()
            with shared.lock:
                shared.busy -= 1
                following = shared.next_job()
                lingering = shared.lingering
                if following is None:
                    if shared.closed:
                        worker = _Worker(None)  # nobody will wake us: do not wait
                        worker.waiter.wake()
                    else:
                        shared.idle.append(worker)
                    shared.lingering = []
            job.done()
            del job  # an idle thread keeps no request alive
        for waiter in lingering:
            waiter.wake()
        worker.waiter.wait(None)  # woken by _begin and _stop_threads


def _stop_threads(shared: _Shared) -> None:
    with shared.lock:
        shared.closed = True
        refused = [*shared.ready, *shared.unready]
        shared.ready.clear()
        shared.unready.clear()
        for job in refused:
            job.line = None
        for worker in shared.idle:
            worker.waiter.wake()  # its job is None: it ends
        shared.idle.clear()
    for job in refused:
        job.refused(ExchangeOver("the worker pool was closed before the request was started"))


def join_all(threads: list[threading.Thread], timeout: float) -> int:
    """Wait for threads to end, `timeout` seconds in all; how many have not."""
    deadline = monotonic() + timeout
    for thread in threads:
        thread.join(max(0.0, deadline - monotonic()))
    return sum(thread.is_alive() for thread in threads)
