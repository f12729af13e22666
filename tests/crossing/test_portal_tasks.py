"""Tasks that a portal spawns: cancelled, waited for, and never the end of their loop."""

import contextvars
from functools import partial

import anyio
import anyio.lowlevel
import pytest

from asgi_bridge.crossing.here import current_portal
from asgi_bridge.crossing.portal import Running

from .conftest import BACKENDS, NAMES, Backend
from .threads import LIMIT

who: contextvars.ContextVar[str] = contextvars.ContextVar("who")


@pytest.mark.anyio
async def test_spawned_task_runs_in_a_copy_of_the_context() -> None:
    who.set("the caller")
    seen: list[str] = []

    async def look() -> None:
        seen.append(who.get())
        who.set("the task")

    task = current_portal().spawn(look)
    with anyio.fail_after(LIMIT):
        await task.wait()
        await task.wait()  # as often as one likes
    assert seen == ["the caller"]
    assert who.get() == "the caller"


@pytest.mark.anyio
async def test_cancelled_task_has_ended_after_wait() -> None:
    portal = current_portal()
    begun, seen = portal.waiter(), list[str]()

    async def wait_for_ever() -> None:
        begun.ring()
        try:
            await anyio.sleep_forever()
        finally:
            seen.append("ended")

    task = portal.spawn(wait_for_ever)
    with anyio.fail_after(LIMIT):
        await begun.wait()
        task.cancel()
        await task.wait()
    assert seen == ["ended"]
    task.cancel()  # too late, and no harm


@pytest.mark.anyio
async def test_task_cancelled_before_it_runs_has_ended_after_wait() -> None:
    task = current_portal().spawn(anyio.sleep_forever)
    task.cancel()
    with anyio.fail_after(LIMIT):
        await task.wait()


@pytest.mark.parametrize("backend", BACKENDS, ids=NAMES)
def test_what_a_task_raises_is_dropped(backend: Backend) -> None:
    name, options = backend

    async def fail() -> None:
        raise ValueError("nobody hears this")

    async def spawn_and_wait() -> str:
        task = current_portal().spawn(fail)
        with anyio.fail_after(LIMIT):
            await task.wait()
        await current_portal().checkpoint()
        return "the loop goes on"

    run = partial(anyio.run, spawn_and_wait, backend=name, backend_options=options)
    assert run() == "the loop goes on"


@pytest.mark.anyio
async def test_cancelled_wait_leaves_the_task_running() -> None:
    portal = current_portal()
    gate, ended = portal.waiter(), list[str]()

    async def wait_for_the_gate() -> None:
        await gate.wait()
        ended.append("task")

    task = portal.spawn(wait_for_the_gate)
    with anyio.move_on_after(0.01) as scope:
        await task.wait()
    assert scope.cancelled_caught
    assert ended == []
    gate.ring()
    with anyio.fail_after(LIMIT):
        await task.wait()
    assert ended == ["task"]


@pytest.mark.anyio
async def test_checkpoint_lets_other_tasks_run_once() -> None:
    """Ten times: trio has the tasks that can run do so in a random order."""
    seen: list[int] = []

    async def note(number: int) -> None:
        seen.append(number)

    for number in range(10):
        current_portal().spawn(partial(note, number))
        assert number not in seen
        await current_portal().checkpoint()
        assert number in seen


# A function in the caller's own task, which says so when it has to wait.


@pytest.mark.anyio
async def test_function_that_need_not_wait_says_nothing_on_asyncio() -> None:
    told: list[Running] = []
    done: list[str] = []

    async def note() -> None:
        done.append("done")

    with anyio.fail_after(LIMIT):
        waiting = current_portal().run_here(note(), told.append)
        assert waiting is None or await waiting
        await anyio.lowlevel.checkpoint()
    assert (done, told) == (["done"], [])


@pytest.mark.anyio
async def test_function_that_waits_is_stopped_and_waited_for() -> None:
    portal, seen = current_portal(), list[str]()

    async def wait_for_ever() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            seen.append("ended")

    async def stop(running: Running) -> None:
        running.cancel()
        running.cancel()  # twice is once
        await running.wait()
        seen.append("waited for")
        running.cancel()
        await running.wait()  # too late, and no harm

    with anyio.fail_after(LIMIT):
        stopping: list[Running] = []
        waiting = portal.run_here(
            wait_for_ever(), lambda running: stopping.append(portal.spawn(partial(stop, running)))
        )
        assert waiting is not None
        assert not await waiting
        seen.append("goes on")
        await stopping[0].wait()
        await anyio.lowlevel.checkpoint()  # a cancellation that was left over would come here
    assert sorted(seen) == ["ended", "goes on", "waited for"]
    assert seen[0] == "ended"


@pytest.mark.anyio
async def test_function_that_ends_by_itself_is_no_longer_stopped() -> None:
    portal, running = current_portal(), list[Running]()
    gate = portal.waiter()

    def told(here: Running) -> None:
        running.append(here)
        gate.ring()

    with anyio.fail_after(LIMIT):
        waiting = portal.run_here(gate.wait(), told)
        assert waiting is not None
        assert await waiting
        running[0].cancel()
        await running[0].wait()
        await anyio.lowlevel.checkpoint()


@pytest.mark.anyio
async def test_cancellation_of_the_caller_is_its_own() -> None:
    portal = current_portal()
    with anyio.CancelScope() as scope:
        waiting = portal.run_here(anyio.sleep_forever(), lambda running: scope.cancel())
        assert waiting is not None
        await waiting
    assert scope.cancelled_caught


@pytest.mark.anyio
async def test_caller_that_is_cancelled_while_it_is_stopped_is_cancelled() -> None:
    portal = current_portal()

    def both(running: Running) -> None:
        scope.cancel()
        running.cancel()

    with anyio.CancelScope() as scope:
        waiting = portal.run_here(anyio.sleep_forever(), both)
        assert waiting is not None
        await waiting
        await anyio.lowlevel.checkpoint()
        raise AssertionError("the cancellation was lost")
    assert scope.cancelled_caught


@pytest.mark.anyio
async def test_free_task_runs_to_its_end_unheard() -> None:
    ended = current_portal().waiter()

    async def fail() -> None:
        ended.ring()
        raise ValueError

    current_portal().spawn_free(fail)
    with anyio.fail_after(LIMIT):
        await ended.wait()
        await anyio.wait_all_tasks_blocked()


@pytest.mark.parametrize("backend", BACKENDS, ids=NAMES)
def test_free_task_ends_with_its_loop(backend: Backend) -> None:
    name, options = backend
    seen: list[str] = []

    async def wait_for_ever() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            seen.append("ended")

    async def main() -> None:
        current_portal().spawn_free(wait_for_ever)
        await anyio.wait_all_tasks_blocked()

    anyio.run(main, backend=name, backend_options=options)
    assert seen == ["ended"]
