"""Requests that stand in line for a worker while their clients send nothing, or on and on."""

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asgi_bridge import Limits, Request, Response, WorkerPool, handler
from asgi_bridge.protocol.watermarks import Watermarks
from asgi_bridge.testing import Exchange

from .clock import backend_with_clock, later
from .helpers import CHUNKED, WAIT, Step, settled, taken

pytestmark = pytest.mark.anyio

# Seconds, far longer than a test takes: these only go by where a test says so.
LONG = 60.0


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Both event loops, with a clock that goes forward when told to."""
    return backend_with_clock(request.param)


class Reader:
    """A handler that reads; whether it was called."""

    called = False

    def __call__(self, request: Request, response: Response) -> bytes:
        self.called = True
        return request.body.read()


async def in_line(pool: WorkerPool) -> None:
    """Until a request that is ready stands in line; its own polling is never at rest."""
    with anyio.fail_after(WAIT):
        while not pool.statistics().ready:
            await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("sent", [1, 100_000], ids=["unready", "ready"])
async def test_client_that_stops_loses_its_place(sent: int) -> None:
    reader = Reader()
    limits = Limits(read_timeout=LONG, drain_timeout=0)
    with WorkerPool(size=1) as pool:
        async with taken(pool) as over:
            async with Exchange(
                handler(reader, pool=pool, limits=limits), headers=CHUNKED
            ) as second:
                await settled()  # it stands in line, and has sent nothing
                await second.send_chunk(b"s" * sent)
                await settled()
                await later(LONG)  # it has sent something since then
                assert second.sent == []
                await later(LONG)
                await second.until_sent(2)
            assert pool.statistics().ready + pool.statistics().unready == 0
            over.take()
    assert (second.status, second.complete) == (408, True)
    assert not reader.called


async def test_client_that_goes_on_keeps_its_place() -> None:
    reader = Reader()
    with WorkerPool(size=1) as pool:
        async with taken(pool) as over:
            limits = Limits(read_timeout=LONG)
            async with Exchange(
                handler(reader, pool=pool, limits=limits), headers=CHUNKED
            ) as second:
                await settled()
                for _ in range(6):
                    await second.send_chunk(b"s")
                    await settled()
                    await later(LONG)
                over.take()
                await second.end_body()
    assert (second.status, second.body) == (200, b"s" * 6)


async def test_client_that_is_not_read_from_keeps_its_place() -> None:
    reader = Reader()
    limits = Limits(read_timeout=LONG, prefetch_bytes=4, request=Watermarks(high=4, low=2))
    with WorkerPool(size=1) as pool:
        async with taken(pool) as over:
            async with Exchange(
                handler(reader, pool=pool, limits=limits), headers=CHUNKED
            ) as second:
                await second.send_chunk(b"full!")
                await in_line(pool)
                await second.end_body(b" end")
                await later(LONG)
                await later(LONG)
                over.take()
    assert (second.status, second.body) == (200, b"full! end")


async def test_without_a_limit_nobody_looks() -> None:
    reader = Reader()
    limits = Limits(read_timeout=None)
    with WorkerPool(size=1) as pool:
        async with taken(pool) as over:
            async with Exchange(
                handler(reader, pool=pool, limits=limits), headers=CHUNKED
            ) as second:
                await second.send_chunk(b"a")
                await settled()
                over.take()
                await second.end_body(b"b")
    assert (second.status, second.body) == (200, b"ab")


async def test_request_that_is_too_long_is_refused_for_that_in_its_turn() -> None:
    reader = Reader()
    limits = Limits(read_timeout=LONG, drain_timeout=0, max_body_bytes=10)
    with WorkerPool(size=1) as pool:
        async with taken(pool) as over:
            async with Exchange(
                handler(reader, pool=pool, limits=limits), headers=CHUNKED
            ) as second:
                await second.send_chunk(b"s" * 20)
                await later(LONG)
                await later(LONG)
                over.take()
                await second.until_sent(2)
    assert (second.status, reader.called) == (413, True)


async def fail_in_line(exchange: Exchange, over: Step) -> None:
    async with exchange:
        await exchange.send_chunk(b"s")
        exchange.fail_receive(RuntimeError("on purpose"))
        await later(LONG)
        await later(LONG)
        over.take()
        await exchange.until_sent(2)


async def test_failure_of_receive_is_met_in_its_turn() -> None:
    reader = Reader()
    limits = Limits(read_timeout=LONG)
    with WorkerPool(size=1) as pool:
        async with taken(pool) as over:
            second = Exchange(handler(reader, pool=pool, limits=limits), headers=CHUNKED)
            with pytest.raises(RuntimeError, match="on purpose"):
                await fail_in_line(second, over)
    assert (second.status, reader.called) == (500, True)
