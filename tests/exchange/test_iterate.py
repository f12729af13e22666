"""iterate_in_worker: a blocking iterable as an async iterator."""

import contextvars
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import aclosing
from typing import Any

import anyio
import pytest
from starlette.responses import StreamingResponse

from asgi_bridge import (
    BodyReader,
    BridgeError,
    BridgeMiddleware,
    ExchangeOver,
    Limits,
    Overloaded,
    WorkerPool,
    WriteTimeout,
    iterate_in_worker,
    open_body,
)
from asgi_bridge.protocol.watermarks import Watermarks
from asgi_bridge.testing import Exchange, body, start
from asgi_bridge.types import Receive, Scope, Send

from .helpers import WAIT, Step, joined, lines, settled

pytestmark = pytest.mark.anyio

SMALL = Limits(response=Watermarks(high=10, low=5))


async def collect(iterable: Iterable[Any], pool: WorkerPool | None = None) -> list[Any]:
    with anyio.fail_after(WAIT):
        return [item async for item in iterate_in_worker(iterable, pool=pool)]


@pytest.mark.parametrize(
    "items",
    [
        [],
        [b"a", b"", bytearray(b"b"), memoryview(b"c")],
        ["text", ""],
        [1, None, object(), {"a": 1}],
        list(range(5000)),
    ],
    ids=["nothing", "bytes-like", "text", "objects", "many"],
)
async def test_items_come_in_order(items: list[Any], pool: WorkerPool) -> None:
    assert await collect(items, pool) == items
    assert await collect(iter(items), pool) == items
    assert pool.statistics().busy == 0


class Watched:
    """An iterable that notes where its parts are called.

    Args:
        items: what it yields.
        error: what it raises after them.
    """

    def __init__(self, *items: object, error: BaseException | None = None) -> None:
        self.called: list[str] = []
        self.threads: set[int] = set()
        self._items = iter(items)
        self._error = error

    def _note(self, call: str) -> None:
        self.threads.add(threading.get_ident())
        self.called.append(call)

    def __iter__(self) -> Iterator[object]:
        self._note("iter")
        return self

    def __next__(self) -> object:
        self._note("next")
        for item in self._items:
            return item
        if self._error is not None:
            raise self._error
        raise StopIteration

    def close(self) -> None:
        self._note("close")


async def test_one_thread_runs_all_of_it(pool: WorkerPool) -> None:
    watched = Watched(1, 2)
    assert await collect(watched, pool) == [1, 2]
    assert watched.called == ["iter", "next", "next", "next", "close"]
    assert len(watched.threads) == 1
    assert threading.get_ident() not in watched.threads


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (ValueError("x"), ValueError),
        (SystemExit(3), RuntimeError),
        (KeyboardInterrupt(), RuntimeError),
    ],
    ids=["Exception", "SystemExit", "KeyboardInterrupt"],
)
async def test_failure_comes_after_the_items(
    error: BaseException, raised: type[BaseException], pool: WorkerPool
) -> None:
    watched = Watched(1, 2, error=error)
    items = iterate_in_worker(watched, pool=pool)
    assert [await anext(items), await anext(items)] == [1, 2]
    with pytest.raises(raised) as caught:
        await anext(items)
    assert error in (caught.value, caught.value.__cause__)
    assert watched.called[-1] == "close"
    assert pool.statistics().busy == 0


async def test_failure_of_close_is_the_failure(pool: WorkerPool) -> None:
    class Unclosable(Watched):
        def close(self) -> None:
            raise LookupError("close's own")

    with pytest.raises(LookupError, match="close's own"):
        await collect(Unclosable(1), pool)


def endless(closed_in: list[int], step: Step | None = None) -> Iterator[bytes]:
    try:
        while True:
            yield b"a"
            if step is not None:
                step.wait()
    finally:
        closed_in.append(threading.get_ident())


async def test_iteration_that_is_closed_early_closes_its_iterable(pool: WorkerPool) -> None:
    closed_in: list[int] = []
    async with aclosing(iterate_in_worker(endless(closed_in), pool=pool)) as items:
        assert await anext(items) == b"a"
    assert len(closed_in) == 1
    assert closed_in != [threading.get_ident()]
    assert pool.statistics().busy == 0


async def test_iteration_that_is_cancelled_closes_its_iterable(pool: WorkerPool) -> None:
    closed_in: list[int] = []
    step, taken = Step(), anyio.Event()

    async def consume() -> None:
        async with aclosing(iterate_in_worker(endless(closed_in, step), pool=pool)) as items:
            async for _ in items:
                taken.set()

    with anyio.fail_after(WAIT):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(consume)
            await taken.wait()
            await settled()
            tasks.cancel_scope.cancel()
            step.take()
    assert len(closed_in) == 1
    assert pool.statistics().busy == 0


async def test_worker_that_cannot_be_woken_is_left_alone(
    pool: WorkerPool, log: pytest.LogCaptureFixture
) -> None:
    closed_in: list[int] = []
    step = Step()
    limits = Limits(abandon_timeout=0.02)
    iterable = endless(closed_in, step)
    async with aclosing(iterate_in_worker(iterable, pool=pool, limits=limits)) as items:
        assert await anext(items) == b"a"
    assert lines(log) == [
        ("WARNING", f"a worker is still busy with {iterable!r} after its iteration ended")
    ]
    assert (closed_in, pool.statistics().busy) == ([], 1)
    step.take()
    await pool.aclose()
    assert len(closed_in) == 1


async def test_slow_consumer_holds_the_iterable_back(pool: WorkerPool) -> None:
    made = 0
    full = Step()

    def numbers() -> Iterator[bytes]:
        nonlocal made
        for number in range(100):
            made += 1
            if made == 10:
                full.take()
            yield b"%d" % (number % 10)

    seen = []
    async with aclosing(iterate_in_worker(numbers(), pool=pool, limits=SMALL)) as items:
        seen.append(await anext(items))
        await full.reached()
        await settled()
        assert made <= 11  # ten bytes held, one of them in our hands
        seen += [item async for item in items]
    assert seen == [b"%d" % (number % 10) for number in range(100)]


async def test_objects_count_with_their_size(pool: WorkerPool) -> None:
    made = 0

    def objects() -> Iterator[object]:
        nonlocal made
        for _ in range(100):
            made += 1
            yield object()

    size = sys.getsizeof(object())
    limits = Limits(response=Watermarks(high=3 * size, low=size))
    async with aclosing(iterate_in_worker(objects(), pool=pool, limits=limits)) as items:
        await anext(items)
        await settled()
        assert made <= 4


async def test_consumer_that_takes_nothing_is_given_up(pool: WorkerPool) -> None:
    over = Step()

    def numbers() -> Iterator[bytes]:
        try:
            while True:
                yield b"a"
        finally:
            over.take()

    limits = Limits(response=SMALL.response, write_timeout=0.01)
    items = iterate_in_worker(numbers(), pool=pool, limits=limits)
    taken = [await anext(items)]
    await over.reached()

    async def take_the_rest() -> None:
        while True:
            taken.append(await anext(items))

    with pytest.raises(WriteTimeout):
        await take_the_rest()
    assert 10 <= len(taken) <= 11  # what the worker had handed over by then


async def test_full_pool_refuses() -> None:
    step = Step()
    closed_in: list[int] = []
    with WorkerPool(size=1, backlog=0) as small:
        async with aclosing(iterate_in_worker(endless(closed_in, step), pool=small)) as first:
            await anext(first)
            with pytest.raises(Overloaded):
                await collect([1], small)
            step.take()
        assert await collect([1], small) == [1]


async def test_pool_that_closes_refuses_what_waits(log: pytest.LogCaptureFixture) -> None:
    step = Step()
    small = WorkerPool(size=1)
    refused: list[type[BaseException]] = []

    async def wait_in_line() -> None:
        try:
            await collect([1], small)
        except ConnectionAbortedError as error:
            refused.append(type(error))

    with anyio.fail_after(WAIT):
        async with aclosing(iterate_in_worker(endless([], step), pool=small)) as first:
            await anext(first)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait_in_line)
                await settled()
                assert small.statistics().ready == 1
                small.close(timeout=0)
            step.take()
    small.close()
    assert len(refused) == 1


async def test_pool_by_default_is_one_for_each_loop() -> None:
    names: list[str] = []

    def name() -> Iterator[int]:
        names.append(threading.current_thread().name)
        yield 1

    for _ in range(2):
        assert await collect(name()) == [1]
    assert len(names) == 2
    assert {each.rpartition("-")[0] for each in names} == {"asgi-bridge-iterate"}


async def test_context_variables_reach_the_worker(pool: WorkerPool) -> None:
    variable = contextvars.ContextVar[str]("variable")

    def read() -> Iterator[str]:
        yield variable.get()
        variable.set("the worker's own")

    variable.set("ours")
    assert await collect(read(), pool) == ["ours"]
    assert variable.get() == "ours"


async def test_starlette_streams_it(pool: WorkerPool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        chunks = iterate_in_worker((b"%d" % n for n in range(10)), pool=pool)
        await StreamingResponse(chunks)(scope, receive, send)

    exchange = Exchange(app)
    await exchange.run()
    assert joined(exchange.sent)[1]["body"] == b"0123456789"
    assert exchange.complete


@pytest.mark.parametrize("ending", ["cancelled", "closed"])
async def test_worker_inside_a_read_is_let_go(
    ending: str, pool: WorkerPool, log: pytest.LogCaptureFixture
) -> None:
    """The application returns when its worker has, and only then would the reader be broken."""
    met: list[type] = []

    def upper(body: BodyReader) -> Iterator[bytes]:
        try:
            for chunk in body.chunks():
                yield chunk.upper()
        except BridgeError as error:
            met.append(type(error))
            raise

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(iterate_in_worker(upper(open_body(scope)), pool=pool)) as items:
            await send(start())
            async for item in items:
                await send(body(item, more_body=True))
                if ending == "closed":
                    break
        await send(body())

    async with Exchange(BridgeMiddleware(app)) as exchange:
        await exchange.send_chunk(b"abc")
        assert await exchange.expect_bytes(3) == b"ABC"
        await settled()
        if ending == "cancelled":
            exchange.cancel()
        with anyio.fail_after(WAIT / 2):  # abandon_timeout is as long as WAIT
            await exchange.wait_closed()
    assert met == [ExchangeOver]
    assert pool.statistics().busy == 0
    assert exchange.complete is (ending == "closed")
    assert lines(log) == []


async def test_items_that_change_afterwards_give_back_the_room_that_they_took(
    pool: WorkerPool,
) -> None:
    def lent() -> Iterator[bytearray]:
        for _ in range(1000):
            buffer = bytearray(b"abcdefgh")
            yield buffer
            buffer.clear()

    limits = Limits(response=SMALL.response, write_timeout=WAIT)
    with anyio.fail_after(WAIT):
        items = [item async for item in iterate_in_worker(lent(), pool=pool, limits=limits)]
    assert len(items) == 1000
