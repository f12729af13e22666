# The threads of a pool.
#
# Rule 1: a worker that ends a job takes the next from the lines itself, and an idle one is woken
#         last in, first out: under load no thread is put to sleep just to be woken. (A SimpleQueue
#         wakes one idle getter more with every get, and each must have the GIL to find nothing.)
# Rule 2: threads are started when they are first needed, and hold the crew, not the pool, so that a
#         pool that nobody holds can end them.
"""Crew: starts worker threads, gives them jobs, and ends them."""

import logging
import os
import threading
from time import monotonic
from typing import Final

from ..errors import ExchangeOver, Overloaded
from .lines import Job, Lines
from .waiters import ThreadWaiter

logger: Final = logging.getLogger("asgi_bridge")


class _Worker:
    """One thread, as the crew sees it."""

    __slots__ = ("job", "waiter")

    def __init__(self, job: Job) -> None:
        self.job: Job | None = job  # what to do when woken, None: end; set before the wake
        self.waiter = ThreadWaiter()


class Crew:
    """What the threads of one pool share.

    Args:
        lines: who may run.
        name: prefix of the threads' names.

    Attributes:
        lock: guards everything here, and the lines.
        lingering: loops that wait until a worker falls idle.
        closed: whether the threads have been told to end.
    """

    __slots__ = ("_idle", "_name", "_process", "closed", "lines", "lingering", "lock", "threads")

    def __init__(self, lines: Lines, name: str) -> None:
        self.lines = lines
        # reentrant: a pool that is garbage is stopped wherever the collector runs, even in here
        self.lock = threading.RLock()
        self.lingering: list[ThreadWaiter] = []
        self.threads: list[threading.Thread] = []
        self.closed = False
        self._idle: list[_Worker] = []  # the last to fall idle is at the end
        self._name = name
        self._process = os.getpid()

    def begin(self, job: Job) -> None:
        """Give a job that has a place to a worker; the caller holds the lock.

        Raises:
            Overloaded: the system has no more threads; the place is free again.
        """
        if self._idle:
            worker = self._idle.pop()
            worker.job = job
            worker.waiter.wake()
            return
        thread = threading.Thread(
            target=self._work,
            args=(_Worker(job),),
            name=f"{self._name}-{len(self.threads)}",
            daemon=True,
        )
        try:
            thread.start()
        except RuntimeError as error:
            self.lines.busy -= 1
            raise Overloaded from error
        self.threads.append(thread)

    def begin_all(self) -> None:
        """Give a worker to every job that may have one; the caller holds the lock."""
        while (job := self.lines.next_job()) is not None:
            try:
                self.begin(job)
            except Overloaded as error:
                job.refused(error)

    def stop(self) -> None:
        """Refuse the jobs that wait, and have each thread end after its job."""
        with self.lock:
            self.closed = True
            refused = self.lines.clear()
            for worker in self._idle:
                worker.waiter.wake()  # its job is None: it ends
            self._idle.clear()
        for job in refused:
            job.refused(ExchangeOver("the worker pool was closed before the request was started"))

    def disown(self) -> None:
        """Do no more jobs, in the child of a fork, where all of them are the parent's.

        Only a worker that forked, and comes back, will look here again.
        """
        self.lock = threading.RLock()  # the old one may be held by a thread that is not here
        self.lines.clear()
        self.closed = True

    def join(self, timeout: float) -> int:
        """Wait for the threads to end, `timeout` seconds in all; how many have not."""
        deadline = monotonic() + timeout
        others = [each for each in self.threads if each is not threading.current_thread()]
        for thread in others:
            thread.join(max(0.0, deadline - monotonic()))
        return sum(thread.is_alive() for thread in others)

    def _work(self, worker: _Worker) -> None:
        """The body of a worker thread."""
        while (job := worker.job) is not None:
            worker.job = None
            while job is not None:
                job.run()
                job = self._next(worker, job)
            worker.waiter.wait(None)  # woken by begin and stop
        if os.getpid() != self._process:
            # The last thread of a process that nobody meant to go on. Left to end by itself it
            # would run what libraries do at exit, in a copy that has none of their threads.
            logger.warning("a handler has forked, and has returned in the child too: that ends")
            os._exit(1)

    def _next(self, worker: _Worker, job: Job) -> Job | None:
        """Give up a job's place; the job that has it now, None if the worker falls idle."""
        following: Job | None
        lingering: list[ThreadWaiter] = []
        with self.lock:
            self.lines.busy -= 1
            following = self.lines.next_job()
            if following is None:
                lingering, self.lingering = self.lingering, lingering
                if self.closed:
                    worker.waiter.wake()  # nobody else will: it ends
                else:
                    self._idle.append(worker)
        job.done()
        for waiter in lingering:
            waiter.wake()
        return following
