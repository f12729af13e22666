"""A handler's stream: full duplex, joined and split, held back by both sides."""

from collections.abc import Callable, Iterator

import anyio
import anyio.lowlevel
import pytest

from asgi_bridge import Limits, Request, Response, WorkerPool, WriteTimeout, handler
from asgi_bridge.exchange.answer import TURN_BYTES
from asgi_bridge.protocol.watermarks import Watermarks
from asgi_bridge.testing import AppState, Exchange, body, request, scope_for, start
from asgi_bridge.types import Message

from .helpers import WAIT, PromptPool, Step, ending, joined, settled

pytestmark = pytest.mark.anyio

KIB = 1024
SMALL = Limits(
    request=Watermarks(high=10, low=5),
    response=Watermarks(high=10, low=5),
    prefetch_bytes=4,
    message_bytes=4,
)


def upper(request: Request, response: Response) -> Iterator[bytes]:
    for chunk in request.body.chunks():
        yield chunk.upper()


def in_two(first: bytes, seen: Step) -> Callable[[Request, Response], Iterator[bytes]]:
    """A function that writes its second chunk, a b, once the first has been seen."""

    def function(request: Request, response: Response) -> Iterator[bytes]:
        yield first
        seen.wait()
        yield b"b"

    return function


# Full duplex.


async def test_lock_step_client_sees_each_chunk_before_it_sends_the_next(pool: WorkerPool) -> None:
    async with Exchange(handler(upper, pool=pool)) as exchange:
        for number in range(200):
            await exchange.send_chunk(b"a%d" % number)
            assert await exchange.expect_chunk() == b"A%d" % number
        await exchange.end_body(b"z")
        assert await exchange.expect_chunk() == b"Z"
        await exchange.expect_end()
    assert exchange.receive_cancellations == 0
    assert ending(exchange) == (AppState.RETURNED, None)


async def test_first_chunk_does_not_wait_for_a_second(pool: WorkerPool) -> None:
    seen = Step()

    async with Exchange(handler(in_two(b"a", seen), pool=pool)) as exchange:
        await exchange.end_body()
        assert await exchange.expect_chunk() == b"a"
        seen.take()
        assert await exchange.expect_chunk() == b"b"
        await exchange.expect_end()
    assert exchange.sent == [
        start(),
        body(b"a", more_body=True),
        body(b"b", more_body=True),
        body(),
    ]


async def test_send_head_sends_the_bare_head(pool: WorkerPool) -> None:
    seen = Step()

    @handler(pool=pool)
    def app(request: Request, response: Response) -> bytes:
        response.headers["x-a"] = "1"
        response.send_head()
        seen.wait()
        return b"a"

    async with Exchange(app) as exchange:
        await exchange.end_body()
        await exchange.until_sent(2)
        seen.take()
    assert exchange.sent == [
        start(200, [(b"x-a", b"1")]),
        body(more_body=True),
        body(b"a", more_body=True),
        body(),
    ]


async def test_handler_reads_the_first_chunk_before_there_is_a_second(pool: WorkerPool) -> None:
    seen = Step()

    @handler(pool=pool)
    def app(request: Request, response: Response) -> bytes:
        first = request.body.read1()
        seen.take()
        return first + request.body.read()

    async with Exchange(app) as exchange:
        await exchange.send_chunk(b"a")
        await seen.reached()
        await exchange.end_body(b"b")
    assert exchange.body == b"ab"


# Joined and split.


async def test_small_chunks_are_joined(prompt_pool: PromptPool) -> None:
    def many(request: Request, response: Response) -> None:
        for _ in range(10_000):
            response.write(b"0123456789")

    app = handler(many, pool=prompt_pool)
    assert await Exchange(app).run() == [
        start(200, [(b"content-length", b"100000")]),
        body(b"0123456789" * 6553, more_body=True),  # as many as fit into 64 KiB
        body(b"0123456789" * 3447, more_body=True),
        body(),
    ]


async def test_chunks_are_joined_while_the_client_is_behind(pool: WorkerPool) -> None:
    written = Step()

    @handler(pool=pool)
    def app(request: Request, response: Response) -> None:
        response.write(b"first")
        for _ in range(100):
            response.write(b"next")
        written.take()

    exchange = Exchange(app)
    exchange.stall_send()
    async with exchange:
        await exchange.end_body()
        await exchange.until_sending()
        await written.reached()
        exchange.resume_send()
    assert joined(exchange.sent)[-1] == body(b"first" + b"next" * 100)
    assert len(exchange.sent) <= 5  # start, what there was by then, the rest, the end


async def test_large_chunk_is_split(prompt_pool: PromptPool) -> None:
    app = handler(lambda request, response: [b"a" * (150 * KIB)], pool=prompt_pool)
    sent = await Exchange(app).run()
    assert [len(message["body"]) for message in sent[1:]] == [65536, 65536, 150 * KIB - 131072, 0]
    assert joined(sent) == [
        start(200, [(b"content-length", b"153600")]),
        body(b"a" * (150 * KIB)),
    ]


# Back-pressure.


async def test_stalled_client_holds_the_handler_back(pool: WorkerPool) -> None:
    yielded = 0
    full = Step()

    @handler(pool=pool, limits=SMALL)
    def app(request: Request, response: Response) -> Iterator[bytes]:
        nonlocal yielded
        for _ in range(100):
            yielded += 1
            if yielded == 10:
                full.take()
            yield b"a"

    exchange = Exchange(app)
    exchange.stall_send()
    async with exchange:
        await exchange.end_body()
        await exchange.until_sending()
        await full.reached()
        await settled()
        # with 10 bytes held the tenth write waits, in whosever hands they are
        assert (yielded, exchange.sent) == (10, [])
        exchange.resume_send()
    assert joined(exchange.sent) == [start(), body(b"a" * 100)]
    assert max(len(message.get("body", b"")) for message in exchange.sent) <= SMALL.message_bytes


async def test_stalled_client_is_served_as_fast_as_it_takes(pool: WorkerPool) -> None:
    app = handler(lambda request, response: (b"%d" % n for n in range(10)), pool=pool, limits=SMALL)
    exchange = Exchange(app)
    exchange.stall_send()
    async with exchange:
        await exchange.end_body()
        while not exchange.complete:
            await exchange.until_sending()
            exchange.resume_send(1)
            await exchange.until_sent(len(exchange.sent) + 1)
    assert exchange.body == b"0123456789"


async def test_slow_handler_holds_the_client_back(pool: WorkerPool) -> None:
    begun, step = Step(), Step()

    @handler(pool=pool, limits=SMALL)
    def app(request: Request, response: Response) -> bytes:
        begun.take()
        step.wait()
        return request.body.read()

    script = [request(b"a", more_body=True) for _ in range(100)]
    async with Exchange(app, receive=script) as exchange:
        await begun.reached()
        await settled()
        assert exchange.undelivered == 90  # the high watermark's worth is here, no more
        assert exchange.receives_pending == 0
        step.take()
        await exchange.end_body(b"z")
    assert exchange.body == b"a" * 100 + b"z"


async def test_whole_body_waits_for_no_room(pool: WorkerPool) -> None:
    app = handler(upper, pool=pool, limits=SMALL)
    exchange = Exchange(app, receive=[request(b"a" * 100)])
    await exchange.run()
    assert exchange.body == b"A" * 100


async def test_client_that_takes_nothing_is_given_up(pool: WorkerPool) -> None:
    @handler(pool=pool, limits=Limits(write_timeout=0.02, response=SMALL.response))
    def app(request: Request, response: Response) -> Iterator[bytes]:
        while True:
            yield b"a" * 10

    exchange = Exchange(app)
    exchange.stall_send()
    exchange.resume_send(2)
    async with exchange:
        await exchange.end_body()
        await exchange.wait_closed()
    assert ending(exchange) == (AppState.RAISED, WriteTimeout)
    assert joined(exchange.sent)[0] == start()
    assert not exchange.complete
    assert exchange.sends_pending == 0


async def test_client_may_take_its_time_where_there_is_no_limit(pool: WorkerPool) -> None:
    app = handler(upper, pool=pool, limits=Limits(write_timeout=None))
    async with Exchange(app) as exchange:
        exchange.stall_send()
        await exchange.send_chunk(b"a")
        await exchange.until_sending()
        exchange.resume_send()
        assert await exchange.expect_chunk() == b"A"
        await exchange.end_body()
    assert exchange.complete


async def test_upload_that_nobody_reads_is_taken_in_before_the_end(pool: WorkerPool) -> None:
    seen = Step()

    async with Exchange(handler(in_two(b"a", seen), pool=pool)) as exchange:
        await exchange.send_chunk(b"x")
        assert await exchange.expect_chunk() == b"a"
        seen.take()
        assert await exchange.expect_chunk() == b"b"
        await settled()
        assert not exchange.complete
        await exchange.end_body()
        await exchange.expect_end()


async def test_other_tasks_have_their_turn_in_a_large_batch(pool: WorkerPool) -> None:
    """Where the server's send() never suspends."""
    seen = Step()
    sent: list[Message] = []
    turns: list[int] = []
    size = 2 * TURN_BYTES
    assert size <= Limits().response.high, "it is one batch"

    app = handler(in_two(bytes(size), seen), pool=pool)  # a batch that is not all of the output

    async def other() -> None:
        while True:
            await anyio.lowlevel.checkpoint()
            turns.append(len(sent))
            if sum(len(each.get("body", b"")) for each in sent) == size:
                seen.take()

    async def receive() -> Message:
        return request()

    async def send(message: Message) -> None:
        sent.append(message)

    with anyio.fail_after(WAIT):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(other)
            await app(scope_for(), receive, send)
            tasks.cancel_scope.cancel()
    pieces = len(sent) - 3  # beside them: the start, the second chunk, the end
    assert pieces > 1
    assert {at for at in turns if 1 < at <= pieces}
