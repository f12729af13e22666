"""`python -m tests.crossing.forking STORY`: forks of a process that has pools, told on stdout.

A process of its own, since a fork copies whatever threads the tests have.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable

from asgi_bridge import WorkerPool
from asgi_bridge.crossing.forks import RenewedLock

from .jobs import Parked, Quick
from .threads import LIMIT


def tell(line: str) -> None:
    """Write a line at one go: print() lets another thread's come between it and its end."""
    os.write(1, f"{line}\n".encode())


def told(child: int) -> str:
    """How a child ended; one that hangs is killed."""
    timer = threading.Timer(LIMIT, os.kill, (child, signal.SIGKILL))
    timer.start()
    _, status = os.waitpid(child, 0)
    timer.cancel()
    return f"the child ended with {os.waitstatus_to_exitcode(status)}"


def served(pool: WorkerPool) -> bool:
    """Whether the pool does a job."""
    pool.submit(job := Quick(), ready=True)
    return job.ended.wait(LIMIT / 2)


def busy() -> None:
    """The parent's worker runs a job, and another stands in line."""
    pool = WorkerPool(1)
    pool.submit(running := Parked(), ready=True)
    pool.submit(waiting := Quick(), ready=True)
    running.has_begun()
    child = os.fork()
    if child == 0:
        done = served(pool)
        pool.close()
        os._exit(7 if done and not waiting.begun.is_set() else 1)
    tell(told(child))
    running.let_go()
    tell(f"the job in line is done: {waiting.ended.wait(LIMIT)}")


def locked() -> None:
    """Another thread of the parent's holds the pool's lock."""
    pool = WorkerPool(1)
    served(pool)
    holds, forked = threading.Event(), threading.Event()

    def hold() -> None:
        with pool._crew.lock:
            holds.set()
            forked.wait(LIMIT)

    threading.Thread(target=hold).start()
    holds.wait(LIMIT)
    child = os.fork()
    if child == 0:
        os._exit(7 if served(pool) else 1)
    forked.set()
    tell(told(child))


def coming_back() -> None:
    """A job forks, and both come back to the pool."""

    class Forking(Parked):
        child = -1

        def run(self) -> None:
            super().run()
            self.child = os.fork()

    class Telling(Quick):
        def run(self) -> None:
            super().run()
            tell("the job in line is done")

    pool = WorkerPool(1)
    pool.submit(forking := Forking(), ready=True)
    pool.submit(telling := Telling(), ready=True)
    forking.let_go()
    tell(told(forking.child))
    telling.ended.wait(LIMIT)


def module_locked() -> None:
    """Another thread of the parent's holds a lock of a module's."""
    renewed = RenewedLock()
    with renewed.lock:
        child = os.fork()
        if child == 0:
            os._exit(7 if renewed.lock.acquire(timeout=LIMIT / 2) else 1)
    tell(told(child))


STORIES: dict[str, Callable[[], None]] = {
    "busy": busy,
    "locked": locked,
    "module locked": module_locked,
    "coming back": coming_back,
}

if __name__ == "__main__":
    STORIES[sys.argv[1]]()
