"""What those see who are around the bridge: a framework's middleware, and the server."""

from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from asgi_bridge import BridgeMiddleware, Limits, handler, open_body
from asgi_bridge.testing import AppState, Exchange, body, request, scope_for, start
from asgi_bridge.types import Message, Receive, Scope, Send

from .helpers import CHUNKED, WAIT, ending, settled

pytestmark = pytest.mark.anyio


class PassThrough(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)


async def test_start_reaches_middleware_around_the_bridge_for_a_client_that_left_before() -> None:
    """Else BaseHTTPMiddleware raises, and exporters of metrics count no status."""
    begun: list[str] = []

    async def stream() -> AsyncIterator[bytes]:
        begun.append("begun")
        yield b"unheard"

    async def endpoint(request: Request) -> Response:
        await request.body()
        exchange.disconnect()
        while not await request.is_disconnected():
            await anyio.lowlevel.checkpoint()
        return StreamingResponse(stream(), 201)

    app = Starlette(
        routes=[Route("/", endpoint, methods=["POST"])],
        middleware=[Middleware(PassThrough), Middleware(BridgeMiddleware)],
    )
    exchange = Exchange(app, method="POST", headers=CHUNKED, receive=[request(b"{}")])
    await exchange.run()
    assert ending(exchange) == (AppState.RETURNED, None)
    assert (exchange.status, exchange.body, begun) == (201, b"", ["begun"])


@pytest.mark.parametrize("error", [FileNotFoundError(2, "the report"), TimeoutError("upstream")])
async def test_server_is_given_what_starlette_takes_for_a_disconnect(error: OSError) -> None:
    """It takes each OSError for one where it is told of ASGI 2.4, which it is for this body."""

    async def fails() -> AsyncIterator[bytes]:
        yield b"part one\n"
        raise error

    async def endpoint(request: Request) -> Response:
        return StreamingResponse(fails())

    app = BridgeMiddleware(Starlette(routes=[Route("/", endpoint, methods=["POST"])]))
    exchange = Exchange(app, method="POST", headers=CHUNKED, receive=[request(b"unread")])
    with pytest.raises(type(error)) as caught:
        await exchange.run()
    assert caught.value is error


async def test_sender_that_no_one_hears_lets_others_have_their_turn() -> None:
    """It sends on from a task of its own, and its sends return at once."""
    turns: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def sends() -> None:
            for _ in range(1000):
                await send(body(b"x" * 1000, more_body=True))

        await send(start())
        await send(body(b"a", more_body=True))
        while (await receive())["type"] != "http.disconnect":
            pass
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sends)
            for turn in range(3):
                await anyio.lowlevel.checkpoint()
                turns.append(turn)

    async with Exchange(BridgeMiddleware(app), method="GET") as exchange:
        await exchange.end_body()
        await exchange.expect_chunk()
        exchange.disconnect()
    assert turns == [0, 1, 2]
    assert exchange.sent == [start(), body(b"a", more_body=True)]


async def test_failure_of_a_short_answer_s_send_that_is_no_departure() -> None:
    """A middleware around has no room on its disk."""
    full = OSError(28, "no space left on device")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(200, [(b"content-type", b"text/plain; charset=utf-8")]))
        await send(body(b"hello"))

    async def send(message: Message) -> None:
        raise full

    async def receive() -> Message:
        raise AssertionError("nobody asks")

    with pytest.raises(OSError, match="no space") as caught:
        await BridgeMiddleware(app)(scope_for(method="GET"), receive, send)
    assert caught.value is full


async def test_headers_that_a_forgetful_server_gives_once() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert list(scope["headers"]) == [(b"x-a", b"1")]
        await send(start())
        await send(body())

    exchange = Exchange(BridgeMiddleware(app), method="GET", extensions={"http.response.push": {}})
    exchange.scope["http_version"] = "2"
    exchange.scope["headers"] = iter([(b"x-a", b"1")])
    assert await exchange.run() == [start(), body()]


async def test_body_of_a_handler_is_no_one_else_s_in_its_scope() -> None:
    """A handler's own scope leads to its body, which is claimed."""
    seen: list[str] = []

    @handler
    def app(request: object, response: object) -> bytes:
        with pytest.raises(RuntimeError, match="it has a reader already") as caught:
            open_body(request)
        seen.append(str(caught.value))
        return b""

    await Exchange(app, receive=[request(b"abc")]).run()
    app.pool.close()
    assert len(seen) == 1


@pytest.mark.parametrize("polls", [True, False], ids=["after a poll", "no poll"])
@pytest.mark.parametrize("begins", [True, False], ids=["response begins", "no response"])
async def test_listener_beside_a_reader_that_reads_through_somebody(
    begins: bool, polls: bool
) -> None:
    """It hears of the disconnect once a response has begun; before, it would wait in vain."""
    heard: list[str] = []

    async def between(scope: Scope, receive: Receive, send: Send) -> None:
        async def replaced() -> Message:
            return await receive()

        await app(scope, replaced, send)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reader = open_body(scope, receive)
        whole = await anyio.to_thread.run_sync(reader.read)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen, receive)
            await settled()
            if begins:
                await send(start())
                await anyio.sleep(2.2)  # longer than it may wait where none has begun
                await send(body(whole))
            else:
                await listened.wait()
                await send(start())
                await send(body(whole))

    async def listen(receive: Receive) -> None:
        if polls:
            with anyio.CancelScope() as poll:  # from now on the bridge listens itself
                poll.cancel()
                await receive()
        try:
            heard.append((await receive())["type"])
        except RuntimeError as error:
            heard.append(type(error).__name__)
        listened.set()

    listened = anyio.Event()
    behind = BridgeMiddleware(between, limits=Limits(drain_timeout=0))
    with anyio.fail_after(WAIT):
        exchange = Exchange(behind, headers=CHUNKED, receive=[request(b"abc")])
        await exchange.run()
    assert exchange.body == b"abc"
    assert heard == ["http.disconnect" if begins else "BodyAlreadyClaimed"]
