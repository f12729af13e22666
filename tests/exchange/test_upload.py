"""A handler and its upload: invited, refused, drained, and the lines for a worker."""

from collections.abc import Iterator

import pytest

from asgi_bridge import HTTPError, Limits, Request, Response, WorkerPool, handler
from asgi_bridge.protocol.watermarks import Watermarks
from asgi_bridge.testing import AppState, Exchange, body, request, start
from asgi_bridge.types import Message, Receive, Scope, Send

from .helpers import CHUNKED, Counted, Held, PromptPool, Step, ending, joined, lines, settled

pytestmark = pytest.mark.anyio

EXPECT = [(b"expect", b"100-continue")]


# Expect: 100-continue. The first receive() is what makes a server send the 100.


async def test_refusal_without_a_read_invites_no_body(pool: WorkerPool) -> None:
    def refuse(request: Request, response: Response) -> None:
        raise HTTPError(403)

    record: list[str] = []
    exchange = Exchange(Counted(handler(refuse, pool=pool), record), headers=EXPECT)
    await exchange.run()
    assert (exchange.status, exchange.complete) == (403, True)
    assert record == ["start", "body"]


async def test_streamed_refusal_without_a_read_invites_no_body(pool: WorkerPool) -> None:
    seen = Step()

    def refuse(request: Request, response: Response) -> Iterator[bytes]:
        response.status = 403
        yield b"a"
        seen.wait()
        yield b"b"

    record: list[str] = []
    async with Exchange(Counted(handler(refuse, pool=pool), record), headers=EXPECT) as exchange:
        assert await exchange.expect_chunk() == b"a"
        seen.take()
    assert joined(exchange.sent) == [start(403), body(b"ab")]
    assert "receive" not in record


async def test_read_invites_the_body(pool: WorkerPool) -> None:
    about_to_read, step = Step(), Step()

    def read(request: Request, response: Response) -> bytes:
        about_to_read.take()
        step.wait()
        return request.body.read()

    record: list[str] = []
    async with Exchange(Counted(handler(read, pool=pool), record), headers=EXPECT) as exchange:
        await about_to_read.reached()
        await settled()
        assert record == []
        step.take()
        await exchange.until_receiving()
        assert record == ["receive"]
        await exchange.end_body(b"a")
    assert exchange.body == b"a"
    assert record == ["receive", "start", "body"]


async def test_success_that_streams_before_it_reads_invites_the_body_first(
    pool: WorkerPool,
) -> None:
    def greet(request: Request, response: Response) -> Iterator[bytes]:
        yield b"go on: "
        yield request.body.read()

    record: list[str] = []
    async with Exchange(Counted(handler(greet, pool=pool), record), headers=EXPECT) as exchange:
        assert await exchange.expect_bytes(7) == b"go on: "
        await exchange.until_receiving()
        await exchange.end_body(b"a")
    assert joined(exchange.sent) == [start(), body(b"go on: a")]
    assert record.index("receive") < record.index("start")


# Draining.


async def test_early_answer_takes_the_upload_in_before_its_last_message(
    prompt_pool: PromptPool,
) -> None:
    record: list[str] = []
    app = Counted(handler(lambda request, response: b"early", pool=prompt_pool), record)
    async with Exchange(app) as exchange:
        for _ in range(3):
            await exchange.send_chunk(b"a")
        await exchange.until_receiving()
        assert exchange.sent == []
        await exchange.end_body()
    assert exchange.sent == [start(200, [(b"content-length", b"5")]), body(b"early")]
    assert exchange.undelivered == 0
    assert record == [*["receive"] * 4, "start", "body"]


async def test_early_stream_takes_the_upload_in_before_its_last_message(pool: WorkerPool) -> None:
    async with Exchange(
        handler(lambda request, response: [b"early"], pool=pool, limits=Limits(message_bytes=2))
    ) as exchange:
        await exchange.send_chunk(b"a")
        assert await exchange.expect_bytes(5) == b"early"
        await settled()  # the function is long over; the last message waits for the upload
        assert not exchange.complete
        await exchange.end_body()
        await exchange.expect_end()
    assert exchange.undelivered == 0


async def test_draining_is_bounded_in_bytes(pool: WorkerPool) -> None:
    limits = Limits(request=Watermarks(high=4, low=2), drain_bytes=5, drain_timeout=60)
    app = handler(lambda request, response: b"early", pool=pool, limits=limits)
    async with Exchange(app) as exchange:
        for _ in range(5):
            await exchange.send_chunk(b"a" * 6)
        await exchange.wait_closed()
    assert ending(exchange) == (AppState.RETURNED, None)
    assert exchange.complete
    assert exchange.receive_cancellations == 0


async def test_draining_is_bounded_in_time(pool: WorkerPool) -> None:
    app = handler(lambda request, response: b"early", pool=pool, limits=Limits(drain_timeout=0.01))
    async with Exchange(app) as exchange:
        await exchange.send_chunk(b"a")
        await exchange.wait_closed()
    assert exchange.complete
    assert exchange.receive_cancellations == 0


async def test_handler_that_ends_in_the_middle_of_a_full_channel_is_drained(
    pool: WorkerPool,
) -> None:
    limits = Limits(prefetch_bytes=1, request=Watermarks(high=500_000, low=100_000))
    begun, step = Step(), Step()

    def half(request: Request, response: Response) -> bytes:
        begun.take()
        step.wait()
        return request.body.read(1)

    script = [request(b"a" * 300_000, more_body=True) for _ in range(5)]
    exchange = Exchange(handler(half, pool=pool, limits=limits), receive=script)
    async with exchange:
        await begun.reached()
        await settled()
        assert exchange.undelivered == 3  # the channel is full
        step.take()
        await exchange.end_body()
    assert exchange.body == b"a"
    assert exchange.undelivered == 0


# The lines for a worker.


async def test_request_that_waits_in_line_is_promoted_when_it_is_ready() -> None:
    first, second = Held(), Held()
    second.step.take()
    with WorkerPool(size=2) as pool:
        async with Exchange(handler(first, pool=pool), headers=CHUNKED) as holder:
            await first.begun.reached()
            async with Exchange(handler(second, pool=pool), headers=CHUNKED) as waiting:
                await waiting.send_chunk(b"a")
                await settled()
                assert pool.statistics().unready == 1
                await waiting.end_body(b"b")
                await second.begun.reached()  # there was a place for one that is ready
            first.step.take()
            await holder.end_body()
    assert waiting.body == b"ab"


async def test_client_that_leaves_the_line_makes_room_in_it(
    log: pytest.LogCaptureFixture,
) -> None:
    first, second = Held(), Held()
    with WorkerPool(size=1) as pool:
        async with Exchange(handler(first, pool=pool), headers=CHUNKED) as holder:
            await first.begun.reached()
            async with Exchange(handler(second, pool=pool), headers=CHUNKED) as waiting:
                await waiting.end_body()
                await settled()
                assert pool.statistics().ready == 1
                waiting.disconnect()
                await waiting.wait_closed()
                assert pool.statistics().ready == 0
            first.step.take()
            await holder.end_body()
    assert (waiting.sent, ending(waiting)) == ([], (AppState.RETURNED, None))
    assert not second.begun.taken
    assert lines(log) == [("INFO", "PUT /: the client went away after 0 bytes of body")]


async def test_request_that_is_cancelled_in_line_makes_room_in_it() -> None:
    first, second = Held(), Held()
    with WorkerPool(size=1) as pool:
        async with Exchange(handler(first, pool=pool), headers=CHUNKED) as holder:
            await first.begun.reached()
            async with Exchange(handler(second, pool=pool), headers=CHUNKED) as waiting:
                await waiting.end_body()
                await settled()
                waiting.cancel()
                await waiting.wait_closed()
                assert pool.statistics().ready == 0
            first.step.take()
            await holder.end_body()
    assert (waiting.sent, ending(waiting)) == ([], (AppState.CANCELLED, None))
    assert not second.begun.taken


async def test_pool_that_closes_refuses_those_in_line(log: pytest.LogCaptureFixture) -> None:
    first, second = Held(), Held()
    pool = WorkerPool(size=1, name="small")
    async with Exchange(handler(first, pool=pool), headers=CHUNKED) as holder:
        await first.begun.reached()
        async with Exchange(handler(second, pool=pool), headers=CHUNKED) as waiting:
            await waiting.end_body()
            await settled()
            pool.close(timeout=0)
        first.step.take()
        await holder.end_body()
    pool.close()
    assert (waiting.status, waiting.complete, second.begun.taken) == (503, True, False)
    assert (holder.status, holder.complete) == (200, True)
    assert lines(log) == [
        ("WARNING", "1 worker threads of small are still busy 0 s after it was closed")
    ]


async def test_body_that_is_here_already_costs_one_hop(pool: WorkerPool) -> None:
    """A server's receive() need not suspend; then the whole body is here before the worker is."""
    inner = handler(lambda request, response: request.body.read().upper(), pool=pool)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_at_once() -> Message:
            if script:
                return script.pop()
            return await receive()

        script = [request(b"abc")]

        await inner(scope, receive_at_once, send)

    for _ in range(3):
        exchange = Exchange(app)
        await exchange.run()
        assert (exchange.status, exchange.body, exchange.complete) == (200, b"ABC", True)
