"""WorkerPool: who runs, who waits, who is refused."""

import gc
import threading
import weakref
from functools import partial

import pytest

from asgi_bridge import BridgeError, Overloaded, WorkerPool
from asgi_bridge.crossing.lines import Job
from asgi_bridge.crossing.pool import Begins, PoolStatistics

from .jobs import Parked, Quick, alive, staffed
from .threads import LIMIT, Running

# How many workers requests that are not ready may take: the first half, rounded up.
HALF = {1: 1, 2: 1, 3: 2, 4: 2}


@pytest.mark.parametrize("ready", [True, False], ids=["ready", "unready"])
@pytest.mark.parametrize(
    ("size", "busy"), [(size, busy) for size in HALF for busy in range(size + 1)]
)
def test_rationing(size: int, busy: int, ready: bool) -> None:
    begins = busy < (size if ready else HALF[size])
    with staffed(size) as crew:
        for _ in range(busy):
            crew.park()
        job = Parked()
        assert crew.submit(job, ready=ready) is (Begins.NOW if begins else Begins.LATER)
        if begins:
            assert job.has_begun()
            assert crew.pool.statistics() == PoolStatistics(busy + 1, busy + 1, 0, 0)
        else:
            assert crew.pool.statistics() == PoolStatistics(busy, busy, ready, not ready)


def test_stalled_uploads_hold_half_of_the_pool() -> None:
    with staffed(4) as crew:
        stalled = [crew.park(ready=False), crew.park(ready=False)]
        third = crew.stand(ready=False)
        others = [crew.park(), crew.park()]
        for other in others:
            other.let_go()
        assert not third.begun.is_set()  # the half is still taken
        stalled[0].let_go()
        assert third.has_begun()
        assert not stalled[1].ended.is_set()


def test_free_worker_serves_the_ready_line_first() -> None:
    with staffed(1) as crew:
        running = crew.park()
        order: list[str] = []
        jobs = {"unready": Noted("unready", order), "ready": Noted("ready", order)}
        for name, job in jobs.items():
            assert crew.submit(job, ready=name == "ready") is Begins.LATER
        running.let_go()
        assert jobs["unready"].ended.wait(LIMIT)
        assert order == ["ready", "unready"]


class Noted(Quick):
    """A job that notes its turn."""

    def __init__(self, name: str, order: list[str]) -> None:
        super().__init__()
        self._name = name
        self._order = order

    def run(self) -> None:
        self._order.append(self._name)
        super().run()


def test_each_line_is_served_in_order() -> None:
    order: list[str] = []
    with staffed(1) as crew:
        running = crew.park()
        jobs = [Noted(str(number), order) for number in range(10)]
        for job in jobs:
            assert crew.submit(job) is Begins.LATER
        running.let_go()
        assert jobs[-1].ended.wait(LIMIT)
    assert order == [str(number) for number in range(10)]


def test_worker_takes_the_next_job_itself() -> None:
    with staffed(2) as crew:
        first, second = crew.park(), crew.park()
        waiting = crew.stand()
        second.let_go()
        assert waiting.ended.wait(LIMIT)
        assert waiting.worker is second.worker
        assert not first.ended.is_set()


def test_jobs_one_after_another_need_one_thread() -> None:
    with staffed(8) as crew:
        workers = set()
        for _ in range(20):
            crew.submit(job := Quick())
            assert job.ended.wait(LIMIT)
            workers.add(job.worker)
        assert len(workers) == 1
        assert crew.pool.statistics() == PoolStatistics(0, 1, 0, 0)


def test_last_worker_to_fall_idle_is_the_first_to_be_woken() -> None:
    with staffed(3) as crew:
        jobs = [crew.park() for _ in range(3)]
        for number in (1, 0, 2):
            jobs[number].let_go()
        woken = [crew.park().worker for _ in range(3)]
        assert woken == [jobs[number].worker for number in (2, 0, 1)]
        assert crew.pool.statistics().threads == 3


def test_threads_are_started_when_they_are_needed() -> None:
    name = "pool-of-late-threads"
    with staffed(3, name=name) as crew:
        assert alive(name) == []
        crew.park()
        crew.park()
        assert len(alive(name)) == 2
        assert all(thread.daemon for thread in alive(name))


# The line.


def test_promoted_job_may_take_any_worker() -> None:
    with staffed(2) as crew:
        crew.park(ready=False)
        waiting = crew.stand(ready=False)
        crew.pool.promote(waiting)
        assert waiting.ended.wait(LIMIT)


def test_promoted_job_stands_at_the_end_of_the_ready_line() -> None:
    order: list[str] = []
    with staffed(1) as crew:
        running = crew.park()
        jobs = [Noted(name, order) for name in ("promoted", "ready", "unready")]
        for job in jobs:
            crew.submit(job, ready=job is jobs[1])
        crew.pool.promote(jobs[0])
        assert crew.pool.statistics() == PoolStatistics(1, 1, 2, 1)
        running.let_go()
        assert jobs[2].ended.wait(LIMIT)
    assert order == ["ready", "promoted", "unready"]


def test_promoting_a_job_that_does_not_wait_as_unready_does_nothing() -> None:
    with staffed(1) as crew:
        running, ready, gone = crew.park(), crew.stand(), crew.stand(ready=False)
        assert crew.pool.withdraw(gone)
        for job in (running, ready, gone):
            crew.pool.promote(job)
        assert crew.pool.statistics() == PoolStatistics(1, 1, 1, 0)


@pytest.mark.parametrize("ready", [True, False], ids=["ready", "unready"])
def test_withdrawn_job_never_runs(ready: bool) -> None:
    with staffed(1) as crew:
        running = crew.park()
        gone, staying = crew.stand(ready=ready), crew.stand(ready=ready)
        assert crew.pool.withdraw(gone)
        assert not crew.pool.withdraw(gone)
        running.let_go()
        assert staying.ended.wait(LIMIT)
        assert not gone.begun.is_set()
        assert gone.errors == []


def test_job_that_has_begun_cannot_be_withdrawn() -> None:
    with staffed(1) as crew:
        running = crew.park()
        assert not crew.pool.withdraw(running)
        running.let_go()
        assert not crew.pool.withdraw(running)


@pytest.mark.parametrize("ready", [True, False], ids=["ready", "unready"])
@pytest.mark.parametrize("may_linger", [True, False], ids=["may linger", "may not"])
def test_job_past_the_backlog_is_refused_and_not_kept(ready: bool, may_linger: bool) -> None:
    with staffed(1, backlog=2) as crew:
        crew.park()
        crew.stand(ready=True)
        crew.stand(ready=False)
        before = crew.pool.statistics()
        with pytest.raises(Overloaded):
            crew.pool.submit(Quick(), ready=ready, may_linger=may_linger)
        assert crew.pool.statistics() == before == PoolStatistics(1, 1, 1, 1)


def test_withdrawn_job_makes_room_in_the_line() -> None:
    with staffed(1, backlog=1) as crew:
        crew.park()
        crew.pool.withdraw(crew.stand())
        crew.stand()


def test_pool_without_a_backlog_refuses_whatever_would_wait() -> None:
    with staffed(2, backlog=0) as crew:
        first = crew.park(ready=False)
        with pytest.raises(Overloaded):
            crew.pool.submit(Quick(), ready=False)
        crew.park()
        with pytest.raises(Overloaded):
            crew.pool.submit(Quick(), ready=True)
        first.let_go()
        crew.park()


# No more threads.


def no_more_threads(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_job_for_which_there_is_no_thread_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with staffed(2) as crew:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_more_threads)
            with pytest.raises(Overloaded) as caught:
                crew.pool.submit(job := Quick(), ready=True)
        assert "can't start new thread" in str(caught.value.__cause__)
        assert job.errors == []  # its submitter was told
        assert crew.pool.statistics() == PoolStatistics(0, 0, 0, 0)
        crew.park()  # and it is tried again


def test_promoted_job_for_which_there_is_no_thread_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with staffed(2) as crew:
        crew.park(ready=False)
        waiting = crew.stand(ready=False)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_more_threads)
            crew.pool.promote(waiting)
        assert [type(error) for error in waiting.errors] == [Overloaded]
        assert not waiting.begun.is_set()
        assert crew.pool.statistics() == PoolStatistics(1, 1, 0, 0)


def test_idle_worker_needs_no_new_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    with staffed(2) as crew:
        crew.park().let_go()
        monkeypatch.setattr(threading.Thread, "start", no_more_threads)
        crew.park()


# What is kept.


class Thing:
    """Something that a job holds."""


class Holding(Job):
    """A job with something to let go of."""

    def __init__(self, thing: Thing) -> None:
        super().__init__()
        self.thing = thing

    def run(self) -> None:
        pass

    def done(self) -> None:
        pass

    def refused(self, error: BridgeError) -> None:
        raise AssertionError("it was to run")


@pytest.mark.parametrize("ready", [True, False], ids=["ready", "unready"])
def test_idle_thread_keeps_no_job_alive(ready: bool) -> None:
    with staffed(1) as crew:
        running = crew.park()
        freed = threading.Event()
        thing = Thing()
        weakref.finalize(thing, freed.set)
        crew.pool.submit(Holding(thing), ready=ready)
        del thing
        running.let_go()
        assert freed.wait(LIMIT)


def test_pool_that_nobody_holds_ends_its_threads() -> None:
    name = "forgotten-pool"
    pool = WorkerPool(2, name=name)
    pool.submit(first := Quick(), ready=True)
    pool.submit(second := Quick(), ready=True)
    assert first.ended.wait(LIMIT)
    assert second.ended.wait(LIMIT)
    (*threads,) = alive(name)
    assert threads
    forgotten = weakref.ref(pool)
    del pool
    gc.collect()
    assert forgotten() is None
    for thread in threads:
        thread.join(LIMIT)
    assert alive(name) == []


def test_pool_that_nobody_holds_lets_a_running_job_end() -> None:
    name = "forgotten-busy-pool"
    pool = WorkerPool(1, name=name)
    pool.submit(running := Parked(), ready=True)
    pool.submit(waiting := Quick(), ready=True)
    assert running.has_begun()
    del pool
    gc.collect()
    assert [type(error).__name__ for error in waiting.errors] == ["ExchangeOver"]
    running.let_go()
    for thread in alive(name):
        thread.join(LIMIT)
    assert alive(name) == []


# Many at once.


def test_jobs_from_many_threads_all_run() -> None:
    with staffed(3, backlog=1000) as crew:
        jobs = [[Quick() for _ in range(100)] for _ in range(4)]

        def submit_all(mine: list[Quick]) -> None:
            for number, job in enumerate(mine):
                crew.submit(job, ready=number % 3 > 0)

        for running in [Running(partial(submit_all, mine)) for mine in jobs]:
            running.result()
        assert all(job.ended.wait(LIMIT) for mine in jobs for job in mine)
        seen = crew.pool.statistics()
        assert (seen.busy, seen.ready, seen.unready) == (0, 0, 0)
        assert 1 <= seen.threads <= 3


# Looks.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "at least 1 worker, got size=0"),
        ({"size": -1}, "at least 1 worker, got size=-1"),
        ({"backlog": -1}, "must not be negative, got -1"),
    ],
)
def test_impossible_pool_is_refused(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WorkerPool(arguments.get("size", 1), arguments.get("backlog", 1))


def test_repr_shows_the_state() -> None:
    with staffed(1, backlog=5) as crew:
        assert repr(crew.pool) == "<WorkerPool busy=0/1 waiting=0/5>"
        running = crew.park()
        crew.stand()
        crew.stand(ready=False)
        assert repr(crew.pool) == "<WorkerPool busy=1/1 waiting=2/5>"
        running.gate.set()
    assert repr(crew.pool) == "<WorkerPool busy=0/1 waiting=0/5 closed>"
