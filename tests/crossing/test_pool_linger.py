"""WorkerPool.linger: quick jobs are handed over together, slow ones hold up nobody."""

import threading

import pytest

from asgi_bridge import Overloaded
from asgi_bridge.crossing import pool as pool_module
from asgi_bridge.crossing.pool import Begins, PoolStatistics
from asgi_bridge.crossing.waiters import ThreadWaiter

from .jobs import Parked, Quick, Staffed, staffed
from .test_pool import no_more_threads
from .threads import LIMIT, Running


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that lingers so long that a quick job is quick on any machine."""
    monkeypatch.setattr(pool_module, "LINGER", LIMIT)


def hold(crew: Staffed, job: Parked) -> Parked:
    """Submit a job that is held until the loop lingers."""
    assert crew.submit(job, may_linger=True) is Begins.WITH_LINGER
    return job


@pytest.mark.usefixtures("patient")
def test_held_jobs_are_done_when_linger_returns() -> None:
    with staffed(4) as crew:
        jobs = [hold(crew, Quick()) for _ in range(5)]
        assert crew.pool.statistics() == PoolStatistics(busy=0, threads=0, ready=5, unready=0)
        crew.pool.linger()
        assert all(job.ended.is_set() for job in jobs)
        assert len({job.worker for job in jobs}) == 1
        assert crew.pool.statistics() == PoolStatistics(busy=0, threads=1, ready=0, unready=0)


@pytest.mark.usefixtures("patient")
def test_linger_ends_with_the_last_of_the_held_jobs() -> None:
    with staffed(4) as crew:
        jobs = [hold(crew, Parked()) for _ in range(3)]
        lingering = Running(crew.pool.linger)
        for job in jobs:
            assert job.has_begun()
            assert lingering.thread.is_alive()
            job.gate.set()
        lingering.result()
        assert all(job.ended.is_set() for job in jobs)


def test_nothing_to_linger_for() -> None:
    with staffed(1) as crew:
        crew.pool.linger()
        running = crew.park()
        crew.stand()
        crew.pool.linger()  # a job waits, but there is no worker for it
        assert crew.pool.statistics() == PoolStatistics(1, 1, 1, 0)
        running.let_go()


def test_slow_job_holds_up_none_of_those_held_with_it() -> None:
    with staffed(4) as crew:
        slow, *others = [hold(crew, job) for job in (Parked(), Quick(), Parked(), Quick())]
        crew.pool.linger()
        assert all(job.has_begun() for job in others)
        assert not slow.ended.is_set()


def test_more_slow_jobs_than_workers_run_as_places_become_free() -> None:
    with staffed(2) as crew:
        jobs = [hold(crew, Parked()) for _ in range(3)]
        crew.pool.linger()
        assert all(job.has_begun() for job in jobs[:2])
        assert crew.pool.statistics() == PoolStatistics(2, 2, 1, 0)
        jobs[0].let_go()
        assert jobs[2].has_begun()


def test_held_jobs_begin_before_one_that_is_not_held() -> None:
    """A job from elsewhere must not wait for a loop, nor overtake what the loop holds."""
    with staffed(3) as crew:
        held = hold(crew, Parked())
        assert crew.submit(job := Parked()) is Begins.NOW
        assert job.has_begun()
        assert held.has_begun()
        crew.pool.linger()  # comes too late, and harms nothing


def test_held_jobs_fill_the_pool_before_one_that_is_not_held() -> None:
    with staffed(1) as crew:
        held = hold(crew, Parked())
        waiting = crew.stand()
        assert held.has_begun()
        held.let_go()
        assert waiting.ended.wait(LIMIT)


def test_job_is_not_held_where_every_worker_is_busy() -> None:
    with staffed(1) as crew:
        running = crew.park()
        assert crew.submit(job := Quick(), may_linger=True) is Begins.LATER
        running.let_go()
        assert job.ended.wait(LIMIT)


def test_job_is_not_held_where_the_line_is_full() -> None:
    """So the backlog bounds what is held in one turn of a loop too."""
    with staffed(2, backlog=1) as crew:
        held = hold(crew, Parked())
        assert crew.submit(second := Parked(), may_linger=True) is Begins.NOW
        assert held.has_begun()
        assert second.has_begun()
        crew.stand()
        with pytest.raises(Overloaded):
            crew.pool.submit(Quick(), ready=True, may_linger=True)


def test_held_job_can_be_withdrawn() -> None:
    with staffed(1) as crew:
        held = hold(crew, Quick())
        assert crew.pool.withdraw(held)
        crew.pool.linger()
        assert crew.pool.statistics() == PoolStatistics(0, 0, 0, 0)
        assert not held.begun.is_set()


@pytest.mark.usefixtures("patient")
def test_worker_that_falls_idle_ends_a_linger_early() -> None:
    """It has seen that nobody waits any more; the job that still runs will tell by itself."""
    with staffed(2) as crew:
        before = crew.park()
        slow = hold(crew, Parked())
        lingering = Running(crew.pool.linger)
        assert slow.has_begun()
        before.let_go()
        lingering.result()
        assert not slow.ended.is_set()


def test_job_that_ends_just_as_the_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker has taken the waiter off its list; nobody must look for it there."""
    slow = Parked()

    class JustTooLate(ThreadWaiter):
        def wait(self, timeout: float | None) -> bool:
            slow.let_go()
            return False

    with staffed(2) as crew:
        hold(crew, slow)
        with monkeypatch.context() as patch:
            patch.setattr(pool_module, "ThreadWaiter", JustTooLate)
            crew.pool.linger()
        assert crew.pool.statistics() == PoolStatistics(0, 1, 0, 0)
        crew.park()


def test_slow_job_makes_the_pool_pause() -> None:
    with staffed(2) as crew:
        slow = hold(crew, Parked())
        crew.pool.linger()
        slow.let_go()
        job = Quick()
        assert crew.submit(job, may_linger=True) is Begins.NOW
        assert job.ended.wait(LIMIT)


@pytest.mark.usefixtures("patient")
def test_quick_jobs_make_no_pause() -> None:
    with staffed(2) as crew:
        for _ in range(20):
            hold(crew, Quick())
            crew.pool.linger()


# Failures.


def test_held_jobs_for_which_there_is_no_thread_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with staffed(4) as crew:
        jobs = [hold(crew, Quick()) for _ in range(3)]
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_more_threads)
            crew.pool.linger()
        assert [[type(error) for error in job.errors] for job in jobs] == [[Overloaded]] * 3
        assert crew.pool.statistics() == PoolStatistics(0, 0, 0, 0)
        assert not any(job.begun.is_set() for job in jobs)


def test_held_jobs_are_refused_when_the_pool_is_closed() -> None:
    with staffed(2) as crew:
        held = hold(crew, Quick())
        crew.pool.close()
        assert [type(error).__name__ for error in held.errors] == ["ExchangeOver"]
        crew.pool.linger()
        assert not held.begun.is_set()
