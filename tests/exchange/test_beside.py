"""Where a handler's exchange goes on: in the server's own task, or beside the upload."""

from collections.abc import Iterator

import anyio
import anyio.lowlevel
import pytest

from asgi_bridge import (
    BridgeMiddleware,
    Limits,
    Request,
    Response,
    Watermarks,
    WorkerPool,
    handler,
)
from asgi_bridge.testing import AppState, Exchange, body, request, scope_for, start
from asgi_bridge.types import Message, Receive, Scope, Send

from .helpers import Step, ending, joined, lines, settled, tasks_living

pytestmark = pytest.mark.anyio


def echo(request: Request, response: Response) -> bytes:
    return request.body.read()


async def test_body_that_is_here_costs_no_task(pool: WorkerPool) -> None:
    tasks: list[int] = []

    async def counted(scope: Scope, receive: Receive, send: Send) -> None:
        async def counting_send(message: Message) -> None:
            tasks.append(tasks_living())
            await send(message)

        tasks.append(tasks_living())
        await handler(echo, pool=pool)(scope, receive, counting_send)

    async def here() -> Message:
        return request(b"ab")

    async def ignore(message: Message) -> None:
        pass

    await counted(scope_for(), here, ignore)
    before, *during = tasks
    assert during in ([before, before], [before + 1, before + 1])  # trio cannot tell in time
    assert tasks_living() == before


async def test_what_is_no_exception_goes_through(pool: WorkerPool) -> None:
    class Interrupt(BaseException):
        pass

    async def interrupted() -> Message:
        raise Interrupt

    async def never(message: Message) -> None:
        raise AssertionError(message)

    with pytest.raises(Interrupt):
        await handler(echo, pool=pool)(scope_for(), interrupted, never)
    assert pool.statistics().busy == 0


async def polled(scope: Scope, receive: Receive, send: Send) -> bool:
    """Look for a disconnect, as frameworks do; whether there was one."""
    with anyio.CancelScope() as scope_of_poll:
        scope_of_poll.cancel()
        message = await receive()
        return bool(message["type"] == "http.disconnect")
    return False


async def test_handler_takes_over_a_body_that_is_awaited_already(pool: WorkerPool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert not await polled(scope, receive, send)
        await settled()
        await handler(echo, pool=pool)(scope, receive, send)

    exchange = Exchange(BridgeMiddleware(app))
    async with exchange:
        await exchange.until_receiving()
        await exchange.send_chunk(b"a")
        await exchange.end_body(b"b")
    assert joined(exchange.sent) == [start(200, [(b"content-length", b"2")]), body(b"ab")]


async def test_handler_for_a_client_that_has_left(
    pool: WorkerPool, log: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while not await polled(scope, receive, send):
            await anyio.lowlevel.checkpoint()
        await handler(echo, pool=pool)(scope, receive, send)

    async with Exchange(BridgeMiddleware(app)) as exchange:
        await exchange.until_receiving()
        exchange.disconnect()
    assert exchange.sent == []
    assert ending(exchange) == (AppState.RETURNED, None)
    assert [level for level, _ in lines(log)] == ["WARNING"]


async def test_stream_that_ends_before_its_upload_drains_it(pool: WorkerPool) -> None:
    seen = Step()

    def ignore_the_body(request: Request, response: Response) -> Iterator[bytes]:
        yield b"a"
        seen.wait()
        yield b"b"

    record: list[str] = []
    async with Exchange(handler(ignore_the_body, pool=pool)) as exchange:
        await exchange.send_chunk(b"x")
        assert await exchange.expect_chunk() == b"a"
        seen.take()
        await settled()
        record.append("complete" if exchange.complete else "waits for the upload")
        await exchange.end_body(b"y")
    assert record == ["waits for the upload"]
    assert joined(exchange.sent) == [start(200), body(b"ab")]


@pytest.mark.parametrize("status", [200, 413])
async def test_answer_ends_the_pump_that_waits_in_the_servers_task(
    pool: WorkerPool, status: int
) -> None:
    """The server's own task is inside receive() then, and must come back."""

    def answer(request: Request, response: Response) -> bytes:
        response.status = status
        return b"early"

    limits = Limits(drain_bytes=0)
    async with Exchange(handler(answer, pool=pool, limits=limits)) as exchange:
        await exchange.until_receiving()
        assert await exchange.expect_chunk() == b"early"
    assert (exchange.status, exchange.body) == (status, b"early")
    assert ending(exchange) == (AppState.RETURNED, None)


async def test_failure_beside_the_upload_is_the_servers(pool: WorkerPool) -> None:
    def fail(request: Request, response: Response) -> bytes:
        raise LookupError("from the handler")

    exchange = Exchange(handler(fail, pool=pool, limits=Limits(drain_bytes=0)))

    async def talk() -> None:
        async with exchange:
            await exchange.until_receiving()
            assert await exchange.expect_chunk() == b"Internal Server Error"

    with pytest.raises(LookupError, match="from the handler"):
        await talk()
    assert exchange.status == 500


async def test_rest_of_an_upload_is_thrown_away_once_the_handler_has_returned(
    pool: WorkerPool,
) -> None:
    """Its client may write first and read later, so that neither the send nor it would go on."""
    begun = Step()

    def ignore_the_body(request: Request, response: Response) -> Iterator[bytes]:
        yield b"a"
        begun.wait()
        yield b"b"

    limits = Limits(request=Watermarks(high=4, low=1), prefetch_bytes=4, stall_timeout=0.01)
    async with Exchange(handler(ignore_the_body, pool=pool, limits=limits)) as exchange:
        exchange.stall_send()
        await exchange.send_chunk(b"x" * 8)  # more than there is room for
        await exchange.until_sending()
        begun.take()
        for _ in range(3):
            await exchange.send_chunk(b"y" * 8)
        await exchange.until_receiving()  # all are taken, although nobody reads
        exchange.resume_send()
        await exchange.end_body()
    assert joined(exchange.sent) == [start(200), body(b"ab")]
