"""Limits on an exchange's time and pace, and on the length that a request declares."""

import threading
from collections.abc import Iterator

import anyio
import pytest

from asgi_bridge import (
    BodyTooSlow,
    BridgeMiddleware,
    ExchangeStats,
    Limits,
    ReadTimeout,
    Request,
    Response,
    TotalTimeout,
    Watermarks,
    WorkerPool,
    handler,
)
from asgi_bridge.errors import phrase_of
from asgi_bridge.testing import AppState, Exchange
from asgi_bridge.types import ASGIApp, Receive, Scope, Send

from .helpers import WAIT

pytestmark = pytest.mark.anyio

SOON = 0.05  # seconds
SMALL = Watermarks(high=10, low=5)


def read_all(request: Request, response: Response) -> bytes:
    return request.body.read()


# The whole exchange.


async def test_total_timeout_wakes_a_read_and_is_a_503(pool: WorkerPool) -> None:
    app = handler(read_all, pool=pool, limits=Limits(total_timeout=SOON, drain_timeout=SOON))
    async with Exchange(app) as exchange:
        await exchange.send_chunk(b"a")
        await exchange.until_sent(2)
    assert (exchange.status, exchange.body) == (503, phrase_of(503).encode())
    assert exchange.complete


async def test_total_timeout_wakes_a_write_and_cuts(pool: WorkerPool) -> None:
    limits = Limits(total_timeout=SOON, response=SMALL, message_bytes=4)
    met: list[BaseException] = []
    over = threading.Event()

    @handler(pool=pool, limits=limits)
    def app(request: Request, response: Response) -> None:
        try:
            response.write(b"a" * 100)
        except TotalTimeout as error:
            met.append(error)
            raise
        finally:
            over.set()

    async with Exchange(app) as exchange:
        await exchange.end_body()
        exchange.stall_send()
        outcome = await exchange.wait_closed()
    assert over.wait(WAIT)
    assert isinstance(outcome.exception, TotalTimeout)
    assert [type(each) for each in met] == [TotalTimeout]
    assert not exchange.complete


async def test_total_timeout_refuses_a_request_in_line() -> None:
    entered, release = threading.Event(), threading.Event()

    def first(request: Request, response: Response) -> None:
        entered.set()
        release.wait(WAIT)

    with WorkerPool(1) as pool:
        busy = handler(first, pool=pool)
        late = handler(read_all, pool=pool, limits=Limits(total_timeout=SOON))
        async with Exchange(busy) as one:
            await one.end_body()
            await anyio.to_thread.run_sync(entered.wait, WAIT)
            async with Exchange(late) as other:
                await other.end_body()
                await other.until_sent(2)
            release.set()
    assert other.status == 503


async def test_exchange_within_its_time(pool: WorkerPool) -> None:
    app = handler(read_all, pool=pool, limits=Limits(total_timeout=WAIT))
    async with Exchange(app) as exchange:
        await exchange.end_body(b"ab")
        assert await exchange.expect_bytes(2) == b"ab"
        await exchange.expect_end()


# The pace.


async def test_trickle_is_a_408(pool: WorkerPool) -> None:
    met: list[BaseException] = []

    @handler(pool=pool, limits=Limits(min_body_rate=1000, min_body_grace=SOON, drain_timeout=0))
    def app(request: Request, response: Response) -> bytes:
        try:
            return request.body.read()
        except ReadTimeout as error:
            met.append(error)
            raise

    async with Exchange(app) as exchange:
        while exchange.status is None and exchange.outcome.state is AppState.RUNNING:
            await exchange.send_chunk(b"a")
            await anyio.sleep(SOON / 10)
        await exchange.until_sent(2)
    assert exchange.status == 408
    assert [type(each) for each in met] == [BodyTooSlow]


@pytest.mark.parametrize("rate", [None, 1.0])
async def test_pace_that_is_kept(rate: float | None, pool: WorkerPool) -> None:
    app = handler(read_all, pool=pool, limits=Limits(min_body_rate=rate, min_body_grace=0))
    async with Exchange(app) as exchange:
        for _ in range(10):
            await exchange.send_chunk(b"abc")
            await anyio.sleep(SOON / 20)
        await exchange.end_body()
        assert await exchange.expect_bytes(30) == b"abc" * 10
        await exchange.expect_end()


# The declared length.


async def never(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("it is not to be called")


def refusing_handler(pool: WorkerPool) -> ASGIApp:
    def function(request: Request, response: Response) -> Iterator[bytes]:
        raise AssertionError("it is not to be called")

    return handler(function, pool=pool, limits=Limits(max_body_bytes=5))


def refusing_middleware(pool: WorkerPool) -> ASGIApp:
    return BridgeMiddleware(never, limits=Limits(max_body_bytes=5))


@pytest.mark.parametrize("make", [refusing_handler, refusing_middleware])
@pytest.mark.parametrize("method", ["PUT", "HEAD"])
async def test_declared_length_is_refused_before_anything_is_read(
    make: object, method: str, pool: WorkerPool
) -> None:
    app = make(pool)  # type: ignore[operator]  # one of the two above
    headers = [(b"content-length", b"6"), (b"expect", b"100-continue")]
    async with Exchange(app, method=method, headers=headers) as exchange:
        await exchange.until_sent(2)
        assert exchange.receives_pending == 0  # the first one would have sent the 100
    assert exchange.status == 413
    assert exchange.complete
    assert exchange.body == (b"" if method == "HEAD" else phrase_of(413).encode())


async def test_refused_length_is_drained_before_the_answer(pool: WorkerPool) -> None:
    headers = [(b"content-length", b"6")]
    async with Exchange(refusing_handler(pool), headers=headers) as exchange:
        await exchange.end_body(b"abcdef")
        await exchange.until_sent(2)
    assert (exchange.status, exchange.undelivered) == (413, 0)


async def test_declared_length_at_the_limit(pool: WorkerPool) -> None:
    app = handler(read_all, pool=pool, limits=Limits(max_body_bytes=5))
    async with Exchange(app, headers=[(b"content-length", b"5")]) as exchange:
        await exchange.end_body(b"abcde")
        assert await exchange.expect_bytes(5) == b"abcde"
        await exchange.expect_end()


async def test_refusal_is_counted() -> None:
    seen: list[ExchangeStats] = []
    app = BridgeMiddleware(never, limits=Limits(max_body_bytes=5), on_exchange_end=seen.append)
    async with Exchange(app, headers=[(b"content-length", b"6")]) as exchange:
        await exchange.end_body(b"abcdef")
        await exchange.until_sent(2)
    assert [each.status for each in seen] == [413]
