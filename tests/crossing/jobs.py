"""Jobs for a pool that begin and end when the test wants them to, and tell what became of them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from asgi_bridge import BridgeError, WorkerPool
from asgi_bridge.crossing.lines import Job
from asgi_bridge.crossing.pool import Begins

from .threads import LIMIT


class Parked(Job):
    """A job that is held by a gate until the test opens it.

    Attributes:
        begun, ended, gate: events; the gate is what the job waits for.
        worker: the thread it ran on.
        errors: what it was refused with.
    """

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.gate = threading.Event()
        self.ended = threading.Event()
        self.worker: threading.Thread | None = None
        self.errors: list[BridgeError] = []

    def run(self) -> None:
        self.worker = threading.current_thread()
        self.begun.set()
        self.gate.wait(LIMIT)

    def done(self) -> None:
        self.ended.set()

    def refused(self, error: BridgeError) -> None:
        self.errors.append(error)

    def let_go(self) -> None:
        """Open the gate, and wait until its place in the pool is free."""
        self.gate.set()
        assert self.ended.wait(LIMIT)

    def has_begun(self) -> bool:
        """Wait until it has begun."""
        return self.begun.wait(LIMIT)


class Quick(Parked):
    """A job whose gate is open from the beginning."""

    def __init__(self) -> None:
        super().__init__()
        self.gate.set()


class Staffed:
    """A pool, and the jobs that a test has parked there."""

    def __init__(self, pool: WorkerPool) -> None:
        self.pool = pool
        self._parked: list[Parked] = []

    def submit(self, job: Parked, *, ready: bool = True, may_linger: bool = False) -> Begins:
        self._parked.append(job)
        return self.pool.submit(job, ready=ready, may_linger=may_linger)

    def park(self, *, ready: bool = True) -> Parked:
        """Submit a job that begins at once, and wait until it has."""
        job = Parked()
        assert self.submit(job, ready=ready) is Begins.NOW
        assert job.has_begun()
        return job

    def stand(self, *, ready: bool = True) -> Parked:
        """Submit a job that has to stand in line; its gate is open."""
        job = Quick()
        assert self.submit(job, ready=ready) is Begins.LATER
        return job

    def open_all(self) -> None:
        for job in self._parked:
            job.gate.set()


@contextmanager
def staffed(size: int, backlog: int = 100, *, name: str = "test-pool") -> Iterator[Staffed]:
    """A pool for one test; its gates are opened and it is closed at the end."""
    with WorkerPool(size, backlog, name=name) as pool:
        crew = Staffed(pool)
        try:
            yield crew
        finally:
            crew.open_all()


def alive(name: str) -> list[threading.Thread]:
    """The threads of a pool that have not ended."""
    return [each for each in threading.enumerate() if each.name.startswith(f"{name}-")]
