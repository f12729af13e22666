# Who may run, and who waits.
#
# Rule 1: a job that is ready may take any worker. One that is not (its request has announced a
#         body, and sent less than the prefetch and not all it has) may take a worker only while
#         fewer than half are taken. So a client in lock-step is served at once, and stalled
#         uploads hold half at the most.
# Rule 2: a job that has to wait stands in one of two lines, whose common length is bounded. A free
#         worker serves the ready line first.
"""Lines: how the workers of a pool are rationed. No threads and no locks of its own."""

from abc import ABC, abstractmethod
from collections import deque

from ..errors import BridgeError, Overloaded


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


class Lines:
    """The places of a pool's workers, and the jobs that wait for one.

    Args:
        size: how many workers there are.
        backlog: how many jobs may wait.

    Attributes:
        busy: how many places are taken.
        ready: the line of jobs that may take any worker.
        unready: the line of jobs that may take one of the first half.

    Threads: whoever calls holds the pool's lock.
    """

    __slots__ = ("backlog", "busy", "ready", "size", "unready")

    def __init__(self, size: int, backlog: int) -> None:
        self.size = size
        self.backlog = backlog
        self.busy = 0
        self.ready: deque[Job] = deque()
        self.unready: deque[Job] = deque()

    @property
    def waiting(self) -> int:
        """How many jobs stand in line."""
        return len(self.ready) + len(self.unready)

    @property
    def has_room(self) -> bool:
        """Whether one job more may stand in line."""
        return self.waiting < self.backlog

    def hold(self, job: Job) -> bool:
        """Put a ready job in line although it might begin, for others of its turn to join it.

        Returns:
            False where it may not begin, or has no room in line; nothing was kept then.
        """
        if self.busy >= self.size or len(self.ready) + len(self.unready) >= self.backlog:
            return False
        job.line = self.ready
        self.ready.append(job)
        return True

    def may_begin(self, *, ready: bool) -> bool:
        """Whether there is a place for a job (rule 1)."""
        return self.busy < self.size if ready else 2 * self.busy < self.size

    def take_place(self, *, ready: bool) -> bool:
        """Take a place for a new job, if there is one and nobody waits for it."""
        if (self.ready if ready else self.unready) or not self.may_begin(ready=ready):
            return False
        self.busy += 1
        return True

    def stand(self, job: Job, *, ready: bool) -> None:
        """Put a job at the end of its line.

        Raises:
            Overloaded: the lines are full.
        """
        if not self.has_room:
            raise Overloaded
        job.line = self.ready if ready else self.unready
        job.line.append(job)

    def next_job(self) -> Job | None:
        """Give a place to the job whose turn it is (rule 2), None where no job may begin."""
        for line, ready in ((self.ready, True), (self.unready, False)):
            if line and self.may_begin(ready=ready):
                job = line.popleft()
                job.line = None
                self.busy += 1
                return job
        return None

    def promote(self, job: Job) -> None:
        """Move a job from the unready line to the end of the ready one, if it stands there."""
        if job.line is self.unready:
            self.unready.remove(job)
            job.line = self.ready
            self.ready.append(job)

    def withdraw(self, job: Job) -> bool:
        """Take a job out of its line; False if it stands in none."""
        if job.line is None:
            return False
        job.line.remove(job)
        job.line = None
        return True

    def clear(self) -> list[Job]:
        """Empty both lines; the jobs that stood there."""
        jobs = [*self.ready, *self.unready]
        self.ready.clear()
        self.unready.clear()
        for job in jobs:
            job.line = None
        return jobs
