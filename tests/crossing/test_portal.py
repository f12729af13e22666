"""Portals: what other threads ask of a loop is done there, in order, at one wake-up."""

import asyncio
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import pytest
import trio
import trio.lowlevel

from asgi_bridge.crossing.asyncio_portal import AsyncioPortal
from asgi_bridge.crossing.here import current_portal
from asgi_bridge.crossing.portal import Portal
from asgi_bridge.crossing.waiters import LoopWaiter, ThreadWaiter

from .conftest import BACKENDS, NAMES, Backend
from .portals import HandTurned
from .threads import LIMIT
from .threads import Running as RunningThread

each_backend = pytest.mark.parametrize("backend", BACKENDS, ids=NAMES)
on_asyncio = pytest.mark.parametrize("backend", BACKENDS[:2], ids=NAMES[:2])


class Counted(AsyncioPortal):
    """A portal to asyncio that counts how often the loop was woken."""

    wakes = 0

    def _call_soon_threadsafe(self, callback: Callable[[], object]) -> None:
        self.wakes += 1
        super()._call_soon_threadsafe(callback)


async def this_portal() -> Portal:
    return current_portal()


def portal_of(backend: Backend) -> Portal:
    """The portal of a loop that has ended."""
    name, options = backend
    return anyio.run(this_portal, backend=name, backend_options=options)


# Posts.


def test_any_number_of_posts_costs_one_wake_up() -> None:
    portal, done = HandTurned(), list[int]()
    for number in range(100):
        portal.post(partial(done.append, number))
    assert len(portal.wakes) == 1
    portal.turn()
    assert done == list(range(100))
    portal.post(partial(done.append, 100))
    assert len(portal.wakes) == 1


def test_post_from_a_posted_call_is_done_the_next_time_round() -> None:
    """Else two that post each other would keep the loop from everything else."""
    portal, done = HandTurned(), list[str]()

    def first() -> None:
        done.append("first")
        portal.post(partial(done.append, "second"))

    portal.post(first)
    portal.turn()
    assert done == ["first"]
    assert len(portal.wakes) == 1
    portal.turn()
    assert done == ["first", "second"]


@pytest.mark.anyio
async def test_posts_of_several_threads_are_all_done_on_the_loop_in_order() -> None:
    portal, waiter = current_portal(), current_portal().waiter()
    count = 500
    done: list[tuple[int, int, int]] = []

    def note(thread: int, number: int) -> None:
        done.append((thread, number, threading.get_ident()))
        if len(done) == 4 * count:
            waiter.ring()

    def post_all(thread: int) -> None:
        for number in range(count):
            portal.post(partial(note, thread, number))

    threads = [RunningThread(partial(post_all, thread)) for thread in range(4)]
    with anyio.fail_after(LIMIT):
        await waiter.wait()
    for running in threads:
        running.result()
    assert {ident for _, _, ident in done} == {threading.get_ident()} == {portal.thread_id}
    for thread in range(4):
        assert [number for which, number, _ in done if which == thread] == list(range(count))


@each_backend
def test_post_to_a_loop_that_has_ended_is_dropped(backend: Backend) -> None:
    portal, done = portal_of(backend), list[int]()
    portal.post(partial(done.append, 1))
    portal.post(partial(done.append, 2))
    assert done == []


@each_backend
def test_waking_a_waiter_of_a_loop_that_has_ended_does_nothing(backend: Backend) -> None:
    name, options = backend

    async def this_waiter() -> LoopWaiter:
        return current_portal().waiter()

    anyio.run(this_waiter, backend=name, backend_options=options).wake()


# Which portal.


@pytest.mark.anyio
async def test_portal_is_one_for_each_loop() -> None:
    portal = current_portal()
    assert current_portal() is portal
    async with anyio.create_task_group() as tasks:

        async def in_another_task() -> None:
            assert current_portal() is portal

        tasks.start_soon(in_another_task)


@each_backend
def test_another_loop_has_another_portal(backend: Backend) -> None:
    assert portal_of(backend) is not portal_of(backend)


@pytest.mark.anyio
async def test_loops_of_two_threads_have_a_portal_each(anyio_backend: Backend) -> None:
    portal = current_portal()
    other = await anyio.to_thread.run_sync(portal_of, anyio_backend)
    assert current_portal() is portal
    assert other is not portal
    assert other.thread_id != portal.thread_id


def test_loop_that_moves_to_another_thread_has_another_portal() -> None:
    async def here() -> int:
        return current_portal().thread_id

    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(here()) == threading.get_ident()
    moved = RunningThread(lambda: (loop.run_until_complete(here()), threading.get_ident()))
    assert len(set(moved.result())) == 1
    loop.close()


def test_without_a_loop_there_is_no_portal() -> None:
    with pytest.raises(RuntimeError):
        current_portal()


def test_portal_to_asyncio_needs_no_trio(monkeypatch: pytest.MonkeyPatch) -> None:
    async def without_trio() -> Portal:
        with monkeypatch.context() as patch:
            patch.delitem(sys.modules, "trio")
            return current_portal()

    assert isinstance(asyncio.run(without_trio()), AsyncioPortal)


def test_guest_of_an_asyncio_loop_has_a_portal_of_its_own() -> None:
    async def host() -> tuple[Portal, Portal]:
        loop = asyncio.get_running_loop()
        guest_portal = loop.create_future()
        trio.lowlevel.start_guest_run(
            this_portal,
            run_sync_soon_threadsafe=loop.call_soon_threadsafe,
            done_callback=guest_portal.set_result,
        )
        async with asyncio.timeout(LIMIT):
            return current_portal(), (await guest_portal).unwrap()

    of_host, of_guest = asyncio.run(host())
    assert isinstance(of_host, AsyncioPortal)
    assert not isinstance(of_guest, AsyncioPortal)


# Waiters.


@pytest.mark.anyio
@pytest.mark.parametrize("times", [1, 2])
async def test_ring_before_the_wait_ends_it_at_once(times: int) -> None:
    waiter = current_portal().waiter()
    for _ in range(times):
        waiter.ring()
    with anyio.fail_after(LIMIT):
        await waiter.wait()
    with anyio.move_on_after(0.01) as scope:  # however often it rang, it was one wake
        await waiter.wait()
    assert scope.cancelled_caught


@pytest.mark.anyio
async def test_wake_before_the_wait_ends_it() -> None:
    waiter = current_portal().waiter()
    RunningThread(waiter.wake).result()
    with anyio.fail_after(LIMIT):
        await waiter.wait()


@pytest.mark.anyio
async def test_two_rings_in_one_turn_end_one_wait() -> None:
    portal = current_portal()
    waiter, other = portal.waiter(), portal.waiter()
    ended: list[str] = []

    async def wait_once() -> None:
        await waiter.wait()
        ended.append("wait")
        other.ring()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait_once)
        await portal.checkpoint()
        await portal.checkpoint()
        waiter.ring()
        waiter.ring()
        with anyio.fail_after(LIMIT):
            await other.wait()
    assert ended == ["wait"]


@pytest.mark.anyio
async def test_wake_from_a_thread_ends_a_wait_that_has_begun() -> None:
    waiter, go = current_portal().waiter(), ThreadWaiter()

    def wake_when_told() -> None:
        assert go.wait(LIMIT)
        waiter.wake()

    waking = RunningThread(wake_when_told)
    current_portal().post(go.wake)  # done once this task waits
    with anyio.fail_after(LIMIT):
        await waiter.wait()
    waking.result()


@pytest.mark.anyio
async def test_waiter_is_usable_after_a_cancelled_wait() -> None:
    waiter = current_portal().waiter()
    for _ in range(2):
        with anyio.move_on_after(0.01) as scope:
            await waiter.wait()
        assert scope.cancelled_caught
    waiter.ring()  # nobody waits now, so it is for the next wait
    with anyio.fail_after(LIMIT):
        await waiter.wait()
    RunningThread(waiter.wake).result()
    with anyio.fail_after(LIMIT):
        await waiter.wait()


# Lingering.


def test_only_asyncio_can_linger() -> None:
    portals = dict(zip(NAMES, map(portal_of, BACKENDS), strict=True))
    assert {name for name, portal in portals.items() if portal.can_linger} == {"asyncio", "uvloop"}
    for portal in (portals["trio"], HandTurned()):
        with pytest.raises(NotImplementedError):
            portal.linger_soon(lambda: None)


@on_asyncio
def test_loop_lingers_once_at_the_end_of_its_turn(backend: Backend) -> None:
    name, options = backend
    seen: list[str] = []
    failures: list[dict[str, Any]] = []  # of callbacks, which a loop only logs
    linger, other = partial(seen.append, "linger"), partial(seen.append, "other")

    async def ask_twice() -> None:
        portal = current_portal()
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: failures.append(context)
        )
        for _ in range(2):
            portal.linger_soon(linger)
        portal.linger_soon(other)
        assert seen == []
        await portal.checkpoint()
        assert seen == ["linger", "other"]
        portal.linger_soon(linger)
        await portal.checkpoint()
        assert seen == ["linger", "other", "linger"]

    anyio.run(ask_twice, backend=name, backend_options=options)
    assert failures == []


@on_asyncio
def test_posts_while_the_loop_lingers_cost_no_wake_up(backend: Backend) -> None:
    name, options = backend
    seen: list[str] = []

    async def linger_and_look() -> int:
        portal = Counted(asyncio.get_running_loop())

        def linger() -> None:
            RunningThread(partial(portal.post, partial(seen.append, "posted"))).result()
            seen.append("lingered")

        portal.linger_soon(linger)
        await portal.checkpoint()
        assert seen == ["lingered", "posted"]
        wakes = portal.wakes
        portal.post(partial(seen.append, "later"))
        await portal.checkpoint()
        assert seen == ["lingered", "posted", "later"]
        assert portal.wakes == wakes + 1
        return wakes

    assert anyio.run(linger_and_look, backend=name, backend_options=options) == 0
