"""WorkerPool: how it is closed, opened again, and left alone."""

import logging
import threading

import anyio
import anyio.to_thread
import pytest

from asgi_bridge import ExchangeOver, WorkerPool
from asgi_bridge.crossing.pool import Begins, PoolStatistics

from .jobs import Parked, Quick, alive, staffed
from .threads import LIMIT, Running


def test_idle_threads_end_when_the_pool_is_closed() -> None:
    name = "pool-of-idle-threads"
    with staffed(3, name=name) as crew:
        for job in [crew.park(), crew.park()]:
            job.let_go()
        assert len(alive(name)) == 2
        crew.pool.close()
        assert alive(name) == []
        assert crew.pool.closed


def test_closing_refuses_the_waiting_and_lets_the_running_end() -> None:
    name = "pool-of-a-running-job"
    with staffed(1, name=name) as crew:
        running, ready, unready = crew.park(), crew.stand(), crew.stand(ready=False)
        refused = threading.Event()
        late = Telling(refused)
        crew.submit(late, ready=False)
        closing = Running(crew.pool.close)
        assert refused.wait(LIMIT)
        for job in (ready, unready, late):
            assert [type(error) for error in job.errors] == [ExchangeOver]
        assert closing.thread.is_alive()
        running.let_go()
        closing.result()
        assert alive(name) == []
        assert not any(job.begun.is_set() for job in (ready, unready, late))
        assert not crew.pool.withdraw(ready)


class Telling(Quick):
    """A job that tells when it was refused."""

    def __init__(self, told: threading.Event) -> None:
        super().__init__()
        self._told = told

    def refused(self, error: Exception) -> None:
        assert isinstance(error, ExchangeOver)
        super().refused(error)
        self._told.set()


@pytest.mark.parametrize("may_linger", [False, True])
def test_closed_pool_takes_no_jobs(may_linger: bool) -> None:
    pool = WorkerPool(1)
    pool.close()
    pool.close()
    for ready in (True, False):
        with pytest.raises(ExchangeOver, match="pool is closed"):
            pool.submit(Quick(), ready=ready, may_linger=may_linger)
    assert pool.statistics() == PoolStatistics(0, 0, 0, 0)


def test_stuck_job_is_left_alone_with_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    name = "pool-of-a-stuck-job"
    with staffed(2, name=name) as crew:
        stuck, other = crew.park(), crew.park()
        other.let_go()
        with caplog.at_level(logging.WARNING, logger="asgi_bridge"):
            crew.pool.close(timeout=0.01)
        expected = f"1 worker threads of {name} are still busy 0.01 s after it was closed"
        assert [record.getMessage() for record in caplog.records] == [expected]
        assert alive(name) == [stuck.worker]
        stuck.let_go()  # and ends with its job
        assert stuck.worker is not None
        stuck.worker.join(LIMIT)
        assert alive(name) == []


def test_closing_in_time_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), staffed(1) as crew:
        crew.park().let_go()
        crew.pool.close()
    assert caplog.records == []


def test_job_may_close_its_own_pool(caplog: pytest.LogCaptureFixture) -> None:
    class Closing(Quick):
        def run(self) -> None:
            super().run()
            pool.close()

    pool = WorkerPool(1, name="pool-closed-from-within")
    job = Closing()
    assert pool.submit(job, ready=True) is Begins.NOW
    assert job.ended.wait(LIMIT)
    assert pool.closed
    assert job.worker is not None
    job.worker.join(LIMIT)
    assert not job.worker.is_alive()
    assert caplog.records == []


def test_closed_pool_can_be_opened_again() -> None:
    name = "pool-opened-again"
    with staffed(1, name=name) as crew:
        for _ in range(2):
            crew.park().let_go()
            crew.pool.close()
            assert alive(name) == []
            crew.pool.open()
            assert not crew.pool.closed
            assert crew.pool.statistics() == PoolStatistics(0, 0, 0, 0)
        crew.park()


def test_opening_an_open_pool_changes_nothing() -> None:
    with staffed(1) as crew:
        crew.park()
        crew.stand()
        before = crew.pool.statistics()
        crew.pool.open()
        assert crew.pool.statistics() == before == PoolStatistics(1, 1, 1, 0)


def test_job_of_before_does_not_count_in_a_pool_opened_again() -> None:
    with staffed(1) as crew:
        stuck = crew.park()
        crew.pool.close(timeout=0)
        crew.pool.open()
        other = crew.park()
        stuck.let_go()
        assert crew.pool.statistics() == PoolStatistics(1, 1, 0, 0)
        other.let_go()


def test_with_closes_the_pool() -> None:
    with WorkerPool(1) as pool:
        assert not pool.closed
    assert pool.closed


@pytest.mark.anyio
async def test_async_with_closes_the_pool_and_waits_for_its_jobs() -> None:
    name = "pool-of-async-with"
    async with WorkerPool(1, name=name) as pool:
        pool.submit(job := Parked(), ready=True)
        pool.submit(Telling(job.gate), ready=True)  # lets the job go when it is refused
        assert await anyio.to_thread.run_sync(job.has_begun)
    assert pool.closed
    assert job.ended.is_set()
    assert alive(name) == []


@pytest.mark.anyio
async def test_waiting_for_a_job_does_not_block_the_loop() -> None:
    pool = WorkerPool(1)
    pool.submit(job := Parked(), ready=True)
    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pool.aclose)
            await anyio.wait_all_tasks_blocked()
            assert pool.closed
            job.gate.set()
    assert job.ended.is_set()


@pytest.mark.anyio
async def test_cancelled_task_still_closes_its_pool() -> None:
    name = "pool-of-a-cancelled-task"
    with anyio.CancelScope() as scope:
        async with WorkerPool(1, name=name) as pool:
            pool.submit(Quick(), ready=True)
            scope.cancel()
            await anyio.sleep_forever()
    assert pool.closed
    assert alive(name) == []


@pytest.mark.anyio
async def test_aclose_needs_none_of_the_threads_that_others_share() -> None:
    shared = anyio.to_thread.current_default_thread_limiter()
    takers = [object() for _ in range(int(shared.total_tokens))]
    for taker in takers:
        shared.acquire_on_behalf_of_nowait(taker)
    closed = anyio.Event()

    async def close() -> None:
        await WorkerPool().aclose()
        closed.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(close)
        with anyio.move_on_after(LIMIT):
            await closed.wait()
        in_time = closed.is_set()
        for taker in takers:
            shared.release_on_behalf_of(taker)
    assert in_time
