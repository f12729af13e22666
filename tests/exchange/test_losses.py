"""Losses, and waits without end, each as the script that showed it."""

import io
import logging
from collections import deque
from collections.abc import Iterator

import anyio
import pytest

from asgi_bridge import (
    BodyReader,
    BodyTooLarge,
    BridgeMiddleware,
    BridgeNotInstalled,
    ClientDisconnected,
    ExchangeOver,
    Limits,
    ReadTimeout,
    Request,
    Response,
    SpooledReader,
    WorkerPool,
    handler,
    iterate_in_worker,
    open_body,
)
from asgi_bridge.testing import AppState, Exchange, body, request, start
from asgi_bridge.types import Message, Receive, Scope, Send

from .helpers import CHUNKED, Step, ending, settled

pytestmark = pytest.mark.anyio


def test_spool_that_lost_a_chunk_is_never_read_past_it() -> None:
    chunks = deque([b"a" * 60, b"b" * 60, b"c" * 30])
    reader = SpooledReader(BodyReader(None, 0, chunks), limit=100)
    for _ in range(3):
        with pytest.raises(BodyTooLarge):
            reader.seek(0, io.SEEK_END)


async def test_read_after_a_timeout_raises_it_again(pool: WorkerPool) -> None:
    timed_out, step = Step(), Step()
    seen: list[type[Exception]] = []

    def read(request: Request, response: Response) -> bytes:
        for _ in range(2):
            try:
                request.body.read(10)
            except ReadTimeout as error:
                seen.append(type(error))
                timed_out.take()
                step.wait()
        return b"done"

    async with Exchange(handler(read, pool=pool, limits=Limits(read_timeout=0.01))) as exchange:
        await exchange.send_chunk(b"0123")
        await timed_out.reached()
        await exchange.send_chunk(b"456789")
        await settled()
        step.take()
        await exchange.end_body()
    assert seen == [ReadTimeout, ReadTimeout]
    assert exchange.body == b"done"


async def test_limits_of_a_handler_hold_inside_the_middleware(pool: WorkerPool) -> None:
    app = handler(
        lambda request, response: request.body.read(), pool=pool, limits=Limits(max_body_bytes=2)
    )
    async with Exchange(BridgeMiddleware(app)) as exchange:
        await exchange.end_body(b"abc")
    assert exchange.status == 413


async def test_disconnect_told_during_the_last_message_cancels_nothing(
    pool: WorkerPool, log: pytest.LogCaptureFixture
) -> None:
    finished: list[str] = []

    @handler(pool=pool, limits=Limits(message_bytes=1))
    def app(request: Request, response: Response) -> Iterator[bytes]:
        yield b"ab"

    async def recycling(scope: Scope, receive: Receive, send: Send) -> None:
        async def last_takes_long(message: dict[str, object]) -> None:
            await send(message)
            if message.get("more_body") is False:
                exchange.disconnect()
                await settled()
                finished.append("recycled")

        await app(scope, receive, last_takes_long)  # type: ignore[arg-type]  # a plain dict will do

    exchange = Exchange(recycling)
    async with exchange:
        await exchange.end_body()
        await exchange.wait_closed()
    assert finished == ["recycled"]
    assert exchange.outcome.state is AppState.RETURNED
    assert log.record_tuples == []


async def test_cancellation_is_not_taken_for_a_disconnect() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            raise ClientDisconnected("gone")
        except ClientDisconnected:
            await anyio.sleep_forever()

    async with Exchange(BridgeMiddleware(app)) as exchange:
        await settled()
        exchange.cancel()
        await exchange.wait_closed()
    assert exchange.outcome.state is AppState.CANCELLED


async def test_reader_of_an_application_that_is_cancelled_meets_our_own_error() -> None:
    seen: list[BaseException] = []
    begun = Step()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reader = open_body(scope)

        def read() -> None:
            begun.take()
            try:
                reader.read()
            except Exception as error:
                seen.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: anyio.to_thread.run_sync(read, abandon_on_cancel=True))
            await begun.reached()
            tasks.cancel_scope.cancel()

    async with Exchange(BridgeMiddleware(app, limits=Limits(drain_timeout=0.0))) as exchange:
        await exchange.send_chunk(b"a")
        await exchange.wait_closed()
    with anyio.fail_after(5):
        while not seen:  # the thread was woken; it has yet to come round
            await anyio.lowlevel.checkpoint()
    assert [type(error) for error in seen] == [ExchangeOver]


async def test_body_claimed_when_all_is_over_starts_nothing() -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.extend((scope, dict(scope)))
        await send(start())
        await send(body(b"a"))

    exchange = Exchange(BridgeMiddleware(app))
    await exchange.run()
    with pytest.raises(BridgeNotInstalled, match="the request is over"):
        open_body(scopes[0])
    reader = open_body(scopes[1])
    await settled()
    assert exchange.receives_pending == 0
    with pytest.raises(ExchangeOver):
        await anyio.to_thread.run_sync(reader.read)


async def test_iteration_closed_in_line_is_withdrawn(log: pytest.LogCaptureFixture) -> None:
    step = Step()

    def blocking() -> Iterator[bytes]:
        yield b"a"
        step.wait()

    with WorkerPool(size=1) as pool:
        first = iterate_in_worker(blocking(), pool=pool)
        assert await anext(first) == b"a"
        second = iterate_in_worker([b"never"], pool=pool)
        with anyio.move_on_after(0) as scope:
            await anext(second)
        assert scope.cancelled_caught
        assert pool.statistics().ready == 0
        step.take()
        await first.aclose()
    assert log.record_tuples == []


async def test_held_start_released_at_the_end_waits_for_the_upload() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(start())

    async with Exchange(BridgeMiddleware(app)) as exchange:
        await exchange.send_chunk(b"a")
        await settled()
        assert exchange.sent == []
        await exchange.end_body(b"b")
    assert exchange.sent == [start(), body()]
    assert exchange.undelivered == 0


async def test_send_that_tells_of_the_disconnect_is_believed() -> None:
    tries = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        for _ in range(2):
            with pytest.raises(ClientDisconnected, match="it has left"):
                await send(body(b"a", more_body=True))

    async def counting(scope: Scope, receive: Receive, send: Send) -> None:
        async def failing(message: object) -> None:
            nonlocal tries
            tries += 1
            raise BrokenPipeError("it has left")

        await BridgeMiddleware(app)(scope, receive, failing)

    exchange = Exchange(counting)
    await exchange.run()
    assert tries == 1


async def test_waiting_in_line_invites_no_body(log: pytest.LogCaptureFixture) -> None:
    log.set_level(logging.INFO)
    step, begun = Step(), Step()

    def hold(request: Request, response: Response) -> bytes:
        begun.take()
        step.wait()
        return b""

    with WorkerPool(size=1) as pool:
        async with Exchange(handler(hold, pool=pool)) as holder:
            await holder.end_body()
            await begun.reached()
            expecting = Exchange(
                handler(lambda request, response: b"no", pool=pool),
                headers=[*CHUNKED, (b"expect", b"100-continue")],
            )
            async with expecting:
                await settled()
                assert pool.statistics().unready == 1
                assert expecting.receives_pending == 0
                step.take()
                assert await expecting.expect_bytes(2) == b"no"
    assert ending(expecting) == (AppState.RETURNED, None)


async def test_scope_without_headers_is_read_as_one_that_has_none() -> None:
    """The spec asks for them; frameworks' own tests leave them out."""
    seen: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(await receive())
        await send(start())
        await send(body())

    exchange = Exchange(BridgeMiddleware(app), {"type": "http", "method": "GET", "path": "/"})
    await exchange.run()
    assert seen == [request()]
    assert exchange.sent == [start(), body()]
