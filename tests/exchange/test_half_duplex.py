"""Clients that write all of the request before they read any of the response."""

import os
from collections.abc import Callable, Iterator

import anyio
import anyio.to_thread
import pytest
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import StreamingResponse
from starlette.routing import Route

from asgi_bridge import (
    BridgeMiddleware,
    Limits,
    Request,
    Response,
    SpoolFull,
    Watermarks,
    WorkerPool,
    handler,
    open_body,
)
from asgi_bridge.crossing.diskqueue import DiskQueue
from asgi_bridge.errors import phrase_of
from asgi_bridge.testing import AppState, Exchange, body, start
from asgi_bridge.types import ASGIApp, Receive, Scope, Send

from .helpers import WAIT, ending, lines

pytestmark = [
    pytest.mark.anyio,
    # Starlette leaves its generators to the collector when a stream breaks off; trio says so
    pytest.mark.filterwarnings("ignore:Async generator .starlette:ResourceWarning"),
]

MARKS = Watermarks(high=1000, low=300)
STALL = 0.02
LIMITS = Limits(
    request=MARKS, response=MARKS, prefetch_bytes=500, message_bytes=200, stall_timeout=STALL
)
CHUNK = bytes(range(100))
CHUNKS = 400  # 40 kB: far above what all channels hold
WHOLE = CHUNK * CHUNKS

AppMaker = Callable[[WorkerPool, Limits], ASGIApp]


def echo(request: Request, response: Response) -> Iterator[bytes]:
    yield from request.body.chunks()


def as_handler(pool: WorkerPool, limits: Limits) -> ASGIApp:
    return handler(echo, pool=pool, limits=limits)


def as_stream(pool: WorkerPool, limits: Limits) -> ASGIApp:
    async def endpoint(request: StarletteRequest) -> StreamingResponse:
        return StreamingResponse(request.stream())

    return BridgeMiddleware(
        Starlette(routes=[Route("/", endpoint, methods=["PUT"])]), limits=limits
    )


def as_reader(pool: WorkerPool, limits: Limits) -> ASGIApp:
    def endpoint(request: StarletteRequest) -> StreamingResponse:
        return StreamingResponse(open_body(request).chunks())

    return BridgeMiddleware(
        Starlette(routes=[Route("/", endpoint, methods=["PUT"])]), limits=limits
    )


def as_wrapped_handler(pool: WorkerPool, limits: Limits) -> ASGIApp:
    return BridgeMiddleware(handler(echo, pool=pool, limits=limits), limits=limits)


ALL_KINDS = pytest.mark.parametrize("make", [as_handler, as_stream, as_reader, as_wrapped_handler])


async def write_first(exchange: Exchange, chunks: int = CHUNKS) -> None:
    """Send so much, and take nothing until the app has received it."""
    exchange.stall_send()
    for _ in range(chunks):
        await exchange.send_chunk(CHUNK)
    await until_received(exchange)


async def until_received(exchange: Exchange) -> None:
    with anyio.fail_after(WAIT):
        while exchange.undelivered and exchange.outcome.state is AppState.RUNNING:  # noqa: ASYNC110
            await anyio.sleep(STALL / 4)


@ALL_KINDS
async def test_body_comes_back_whole(make: AppMaker, pool: WorkerPool) -> None:
    async with Exchange(make(pool, LIMITS), method="PUT") as exchange:
        await write_first(exchange)
        await exchange.end_body(b"the end")
        exchange.resume_send()
        assert await exchange.expect_bytes(len(WHOLE) + 7) == WHOLE + b"the end"
        await exchange.expect_end()
    assert exchange.complete
    assert exchange.receive_cancellations == 0
    assert ending(exchange) == (AppState.RETURNED, None)


@ALL_KINDS
async def test_disconnect_after_a_spooled_part_is_no_end(make: AppMaker, pool: WorkerPool) -> None:
    async with Exchange(make(pool, LIMITS), method="PUT") as exchange:
        await write_first(exchange)
        exchange.disconnect()
        exchange.resume_send()
        await exchange.wait_closed()
    assert not exchange.complete


async def test_lock_step_goes_on_after_a_detour(pool: WorkerPool) -> None:
    async with Exchange(handler(echo, pool=pool, limits=LIMITS)) as exchange:
        for _ in range(3):
            await write_first(exchange, 100)
            exchange.resume_send()
            assert await exchange.expect_bytes(100 * len(CHUNK)) == CHUNK * 100
            await exchange.send_chunk(b"step")
            assert await exchange.expect_bytes(4) == b"step"
        await exchange.end_body()
        await exchange.expect_end()


@ALL_KINDS
async def test_full_never_spools(make: AppMaker, pool: WorkerPool) -> None:
    limits = Limits(request=MARKS, response=MARKS, prefetch_bytes=500, duplex="full")
    async with Exchange(make(pool, limits), method="PUT") as exchange:
        exchange.stall_send()
        for _ in range(CHUNKS):
            await exchange.send_chunk(CHUNK)
        await anyio.sleep(10 * STALL)  # nothing is to happen
        assert exchange.undelivered > CHUNKS / 2
        exchange.cancel()


@pytest.mark.parametrize("make", [as_handler, as_stream])
async def test_half_sends_nothing_before_the_request_is_read(
    make: AppMaker, pool: WorkerPool
) -> None:
    limits = Limits(
        request=MARKS, response=MARKS, prefetch_bytes=500, stall_timeout=STALL, duplex="half"
    )
    async with Exchange(make(pool, limits), method="PUT") as exchange:
        for _ in range(CHUNKS):
            await exchange.send_chunk(CHUNK)
        await until_received(exchange)
        assert exchange.sent == []
        await exchange.end_body()
        assert await exchange.expect_bytes(len(WHOLE)) == WHOLE
        await exchange.expect_end()


async def test_body_that_nobody_will_read_is_not_spooled(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[int] = []
    monkeypatch.setattr(os, "pwrite", lambda fd, data, place: writes.append(len(data)))
    limits = Limits(
        request=MARKS,
        response=MARKS,
        prefetch_bytes=500,
        message_bytes=200,
        stall_timeout=STALL,
        spool_max_bytes=1,
    )

    @handler(pool=pool, limits=limits)
    def app(request: Request, response: Response) -> None:
        response.write(CHUNK * 5)

    async with Exchange(app) as exchange:
        await write_first(exchange)
        exchange.resume_send()
        await exchange.end_body()
        assert await exchange.expect_bytes(len(CHUNK) * 5) == CHUNK * 5
        await exchange.expect_end()
    assert writes == []


HALF = Limits(
    request=MARKS,
    response=MARKS,
    prefetch_bytes=500,
    duplex="half",
    read_timeout=STALL,
    drain_timeout=STALL,
)


def write_only(request: Request, response: Response) -> None:
    response.write(CHUNK * 5)
    response.write(CHUNK * 50)


async def test_half_and_an_upload_that_stops(pool: WorkerPool) -> None:
    async with Exchange(handler(write_only, pool=pool, limits=HALF)) as exchange:
        await exchange.send_chunk(CHUNK)
        await exchange.until_sent(2)
    assert (exchange.status, exchange.complete) == (408, True)


@pytest.mark.parametrize("make", [as_stream, as_reader])
async def test_half_and_an_upload_that_stops_under_an_application(
    make: AppMaker, pool: WorkerPool
) -> None:
    headers = [(b"transfer-encoding", b"chunked")]
    async with Exchange(make(pool, HALF), method="PUT", headers=headers) as exchange:
        for _ in range(20):
            await exchange.send_chunk(CHUNK)
        await exchange.until_sent(2)
    assert (exchange.status, exchange.complete) == (408, True)


async def test_half_and_a_client_that_leaves(pool: WorkerPool) -> None:
    async with Exchange(handler(write_only, pool=pool, limits=HALF)) as exchange:
        await exchange.send_chunk(CHUNK)
        exchange.disconnect()
    assert exchange.sent == []
    assert ending(exchange) == (AppState.RETURNED, None)


async def test_slow_reader_is_spooled_for_less_and_less(pool: WorkerPool) -> None:
    """Its output moves on although it writes, so the upload has to wait for the spool."""
    async with Exchange(handler(echo, pool=pool, limits=LIMITS)) as exchange:
        await write_first(exchange, 200)
        for _ in range(40):
            await exchange.send_chunk(CHUNK)
            exchange.resume_send(3)
            await exchange.expect_bytes(len(CHUNK))
        await exchange.end_body()
        exchange.resume_send()
        await exchange.expect_bytes(200 * len(CHUNK))
        await exchange.expect_end()


async def test_failing_receive_is_met_after_what_was_spooled(pool: WorkerPool) -> None:
    async with Exchange(handler(echo, pool=pool, limits=LIMITS)) as exchange:
        await write_first(exchange)
        exchange.fail_receive(RuntimeError("the server's own"))
        exchange.resume_send()
        assert await exchange.expect_bytes(len(WHOLE)) == WHOLE
        outcome = await exchange.wait_closed()
    assert repr(outcome.exception) == repr(RuntimeError("the server's own"))
    assert not exchange.complete


@pytest.mark.parametrize("whole", [True, False])
async def test_body_can_be_claimed_while_it_is_spooled(whole: bool, pool: WorkerPool) -> None:
    read: list[bytes] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(200))
        await send(body(b"first", more_body=True))
        reader = open_body(scope)
        read.append(await anyio.to_thread.run_sync(reader.read))
        await send(body(b"last"))

    async with Exchange(BridgeMiddleware(app, limits=LIMITS)) as exchange:
        await write_first(exchange)
        if whole:
            await exchange.end_body()
            await until_received(exchange)
        exchange.resume_send()
        if not whole:
            await exchange.expect_bytes(5)
            await exchange.end_body()
    assert read == [WHOLE]
    assert exchange.body == b"firstlast"


# No room on disk.

TOO_SMALL = Limits(
    request=MARKS,
    response=MARKS,
    prefetch_bytes=500,
    message_bytes=200,
    stall_timeout=STALL,
    spool_max_bytes=1,
)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let little go to disk."""
    monkeypatch.setattr("asgi_bridge.intake.overflow.BATCH", 2000)
    monkeypatch.setattr("asgi_bridge.intake.overflow.PIECE", 500)


@ALL_KINDS
@pytest.mark.usefixtures("small_batches")
async def test_body_comes_back_whole_from_the_disk(make: AppMaker, pool: WorkerPool) -> None:
    await test_body_comes_back_whole(make, pool)


@ALL_KINDS
@pytest.mark.usefixtures("small_batches")
async def test_full_spool_cuts_the_exchange(
    make: AppMaker, pool: WorkerPool, caplog: pytest.LogCaptureFixture
) -> None:
    async with Exchange(make(pool, TOO_SMALL)) as exchange:
        await write_first(exchange)
        outcome = await exchange.wait_closed()
    assert isinstance(outcome.exception, SpoolFull)
    assert not exchange.complete
    assert ("WARNING", "PUT /: the request's spool holds 1 bytes at most") in lines(caplog)


@ALL_KINDS
@pytest.mark.usefixtures("small_batches")
async def test_full_spool_is_a_413_while_nothing_was_sent(make: AppMaker, pool: WorkerPool) -> None:
    limits = Limits(
        request=MARKS,
        response=MARKS,
        stall_timeout=STALL,
        spool_max_bytes=1,
        duplex="half",
        drain_timeout=0,
    )
    async with Exchange(make(pool, limits)) as exchange:
        for _ in range(CHUNKS):
            await exchange.send_chunk(CHUNK)
        await exchange.until_sent(2)
    assert (exchange.status, exchange.complete) == (413, True)
    assert exchange.body == phrase_of(413).encode()


@pytest.mark.usefixtures("small_batches")
async def test_spool_that_cannot_be_read_cuts_the_exchange(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[int] = []

    def broken(queue: DiskQueue, size: int) -> bytes:
        asked.append(size)
        raise OSError("the disk is gone")

    monkeypatch.setattr(DiskQueue, "take", broken)
    async with Exchange(handler(echo, pool=pool, limits=LIMITS), path="/up") as exchange:
        await write_first(exchange)
        with anyio.fail_after(WAIT):
            while not asked:  # how many messages that takes depends on how they are joined
                exchange.resume_send(messages=1)  # then a send is stuck
                await anyio.sleep(STALL / 4)
        outcome = await exchange.wait_closed()
    assert isinstance(outcome.exception, OSError)
    assert ("WARNING", "PUT /up: the disk is gone") in lines(caplog)
    assert not exchange.complete
