"""A fork in the midst of a pool's work: the child begins anew, and the parent goes on."""

import os
import subprocess
import sys
from weakref import WeakSet

import pytest

from asgi_bridge import WorkerPool
from asgi_bridge.crossing import forks
from asgi_bridge.crossing.pool import Begins, PoolStatistics

from .jobs import Quick, alive, staffed
from .threads import LIMIT


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        ("busy", ["the child ended with 7", "the job in line is done: True"]),
        ("locked", ["the child ended with 7"]),
        ("module locked", ["the child ended with 7"]),
        ("coming back", ["the child ended with 1", "the job in line is done"]),
    ],
)
def test_fork_of_a_process_with_threads(story: str, expected: list[str]) -> None:
    # Python 3.12 and later warn of what is done here on purpose
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "tests.crossing.forking"]
    process = subprocess.run(
        [*command, story], capture_output=True, text=True, timeout=6 * LIMIT, check=False
    )
    assert sorted(process.stdout.splitlines()) == expected
    logged = ["a handler has forked, and has returned in the child too: that ends"]
    assert process.stderr.splitlines() == (logged if story == "coming back" else [])


def test_nothing_of_the_parents_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "pool-that-is-copied"
    with staffed(1, name=name) as crew:
        monkeypatch.setattr(forks, "_copied", WeakSet([crew.pool]))
        exits: list[int] = []
        monkeypatch.setattr(os, "_exit", exits.append)
        running, waiting = crew.park(), crew.stand()
        forks.begin_anew()
        assert crew.pool.statistics() == PoolStatistics(0, 0, 0, 0)
        own = crew.park()
        with monkeypatch.context() as child:
            child.setattr(os, "getpid", lambda: -1)
            running.let_go()
            assert running.worker is not None
            running.worker.join(LIMIT)
        assert exits == [1]
        assert alive(name) == [own.worker]
        assert not waiting.begun.is_set()
        assert waiting.errors == []


def test_closed_pool_stays_closed() -> None:
    pool = WorkerPool(1)
    pool.close()
    pool.begin_anew()
    assert pool.closed
    pool.open()
    assert pool.submit(job := Quick(), ready=True) is Begins.NOW
    assert job.ended.wait(LIMIT)
    pool.close()
