"""open_body gives what the framework's own reading would give at the same place."""

import threading
import zlib
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
import fastapi
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from asgi_bridge import (
    BodyAlreadyClaimed,
    BridgeMiddleware,
    Limits,
    ReceiveReplaced,
    handler,
    open_body,
)
from asgi_bridge.errors import ExchangeOver
from asgi_bridge.testing import AppState, Exchange, body, request, start
from asgi_bridge.types import ASGIApp, Message, Receive, Scope, Send

from .helpers import CHUNKED, WAIT, Step, ending, settled

pytestmark = pytest.mark.anyio

TEXT = b"plain text " * 500
PACKED = zlib.compress(TEXT)
SCRIPT = [request(PACKED[:10], more_body=True), request(PACKED[10:])]
HEADERS = [(b"content-encoding", b"deflate"), (b"transfer-encoding", b"chunked")]


class Unpack:
    """A middleware that unpacks the body on its way, and takes away what named the coding."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        unpack = zlib.decompressobj()

        async def unpacked() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                message["body"] = unpack.decompress(message.get("body", b""))
            return message

        headers = [each for each in scope["headers"] if each[0] != b"content-encoding"]
        await self._app({**scope, "headers": headers}, unpacked, send)


class Limit:
    """A middleware that bounds the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        left = 100

        async def bounded() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(413)
            return message

        await self._app(scope, bounded, send)


class ReadsFirst(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        await request.body()
        return await call_next(request)


def opened(request: fastapi.Request) -> Response:
    return PlainTextResponse(open_body(request).read())


async def streamed(request: fastapi.Request) -> Response:
    return PlainTextResponse(b"".join([chunk async for chunk in request.stream()]))


def starlette_app(endpoint: Callable[..., Any], *middleware: type) -> ASGIApp:
    stack = [Middleware(each) for each in middleware]  # type: ignore[arg-type]  # any class
    return BridgeMiddleware(
        Starlette(routes=[Route("/", endpoint, methods=["PUT"])], middleware=stack)
    )


@pytest.mark.parametrize("endpoint", [streamed, opened])
async def test_body_that_is_unpacked_on_the_way(endpoint: Callable[..., Any]) -> None:
    exchange = Exchange(starlette_app(endpoint, Unpack), headers=HEADERS, receive=SCRIPT)
    await exchange.run()
    assert (exchange.status, exchange.body) == (200, TEXT)


async def test_body_that_is_too_long_for_a_middleware() -> None:
    """It is not gone round: the status is what the middleware raises."""
    app = starlette_app(opened, Limit)
    exchange = Exchange(app, headers=CHUNKED, receive=[request(b"x" * 101)])
    await exchange.run()
    assert (exchange.status, ending(exchange)) == (413, (AppState.RETURNED, None))


@pytest.mark.parametrize("endpoint", [streamed, opened])
async def test_body_that_a_middleware_has_read_and_tells_again(
    endpoint: Callable[..., Any],
) -> None:
    app = starlette_app(endpoint, ReadsFirst)
    exchange = Exchange(
        app, headers=CHUNKED, receive=[request(b"ab", more_body=True), request(b"c")]
    )
    await exchange.run()
    assert (exchange.status, exchange.body) == (200, b"abc")


@pytest.mark.parametrize("spool", [True, False])
async def test_body_that_the_framework_keeps(spool: bool) -> None:
    """An error reporter has read it before the endpoint, through the same request."""

    async def endpoint(request: Request) -> Response:
        whole = await request.body()
        reader = open_body(request, spool=spool)
        again = await anyio.to_thread.run_sync(reader.read)
        return JSONResponse([whole == again, len(again)])

    for content in (b"abc", b""):
        app = starlette_app(endpoint)
        exchange = Exchange(app, headers=CHUNKED, receive=[request(content)])
        await exchange.run()
        assert exchange.body == b"[true,%d]" % len(content)


@pytest.mark.parametrize("middleware", [(), (Unpack,)], ids=["bare", "behind a middleware"])
async def test_body_that_was_read_and_is_not_kept(middleware: tuple[type, ...]) -> None:
    async def endpoint(request: Request) -> Response:
        async for _ in request.stream():
            pass
        with pytest.raises(BodyAlreadyClaimed, match="the application has read"):
            open_body(request)
        return PlainTextResponse("read")

    exchange = Exchange(starlette_app(endpoint, *middleware), headers=HEADERS, receive=SCRIPT)
    await exchange.run()
    assert exchange.body == b"read"


async def test_scope_and_the_receive_that_goes_with_it() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(ReceiveReplaced, match=r"open_body\(scope, receive\)"):
            open_body(scope)
        whole = await anyio.to_thread.run_sync(lambda: open_body(scope, receive).read())
        await send(start())
        await send(body(whole))

    exchange = Exchange(BridgeMiddleware(Unpack(app)), headers=HEADERS, receive=SCRIPT)
    await exchange.run()
    assert exchange.body == TEXT


async def test_scope_and_the_bridge_s_own_receive() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reader = open_body(scope, receive)
        await send(start())
        await send(body(await anyio.to_thread.run_sync(reader.read)))

    exchange = Exchange(BridgeMiddleware(app), headers=CHUNKED, receive=[request(b"abc")])
    assert await exchange.run() == [start(), body(b"abc")]


async def test_copied_scope_with_the_same_headers_is_good_enough() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reader = open_body({**scope, "path": "/other"})
        await send(start())
        await send(body(await anyio.to_thread.run_sync(reader.read)))

    exchange = Exchange(BridgeMiddleware(app), headers=CHUNKED, receive=[request(b"abc")])
    assert await exchange.run() == [start(), body(b"abc")]


async def test_body_that_is_withheld_is_the_server_s() -> None:
    """Whoever asks for that has said whose body it is, so a receive in between is not asked."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert await receive() == request(b"")
        reader = open_body(scope, receive)
        await send(start())
        await send(body(await anyio.to_thread.run_sync(reader.read)))

    behind = BridgeMiddleware(Unpack(app), withhold=lambda scope: True)
    exchange = Exchange(behind, headers=CHUNKED, receive=[request(b"abc")])
    await exchange.run()
    assert exchange.body == b"abc"


async def test_reader_through_a_middleware_ends_with_its_exchange() -> None:
    """The application returns while a thread of its own still reads."""
    seen: list[type[BaseException]] = []
    began = Step()

    def read(scope: Scope, receive: Receive) -> None:
        began.take()
        try:
            open_body(scope, receive).read()
        except BaseException as error:
            seen.append(type(error))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        thread = threading.Thread(target=read, args=(scope, receive))
        threads.append(thread)
        thread.start()
        await began.reached()
        await settled()
        await send(start())
        await send(body())

    threads: list[threading.Thread] = []
    behind = BridgeMiddleware(Unpack(app), limits=Limits(drain_timeout=0))
    async with Exchange(behind, headers=HEADERS) as exchange:
        await exchange.expect_end()
        await exchange.wait_closed()
    threads[0].join(WAIT)
    assert seen == [ExchangeOver]


# What is left for the application's own receive().


async def test_body_that_is_asked_for_after_it_was_claimed() -> None:
    """An exception handler of the application's that reads the body would wait for ever."""

    class Failed(Exception):
        pass

    async def on_error(request: Request, error: Exception) -> Response:
        with pytest.raises(BodyAlreadyClaimed, match=r"open_body claimed it in .*endpoint"):
            await request.body()
        return PlainTextResponse("handled", 500)

    def endpoint(request: Request) -> Response:
        open_body(request).read(1)
        raise Failed

    routes = [Route("/", endpoint, methods=["PUT"])]
    app = Starlette(routes=routes, exception_handlers={Failed: on_error})
    async with Exchange(BridgeMiddleware(app), headers=CHUNKED) as exchange:
        await exchange.send_chunk(b"ab")
        await exchange.expect_start()
        await exchange.end_body()
    assert (exchange.status, exchange.body) == (500, b"handled")


async def test_listener_that_waited_before_the_claim_waits_on() -> None:
    """However long the application takes before its response begins."""
    heard: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def listen() -> None:
            heard.append((await receive())["type"])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            await settled()
            reader = open_body(scope)
            claimed.set()
            await anyio.to_thread.run_sync(reader.read)
            await anyio.sleep(2.5)  # longer than a call after the claim may wait
            await send(start())
            await send(body())

    claimed = anyio.Event()
    async with Exchange(BridgeMiddleware(app), headers=CHUNKED) as exchange:
        await claimed.wait()
        await exchange.end_body(b"abc")
    assert (heard, exchange.sent) == (["http.disconnect"], [start(), body()])


async def test_listener_after_the_claim_waits_on_once_the_response_has_begun() -> None:
    heard: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def listen() -> None:
            heard.append((await receive())["type"])

        reader = open_body(scope)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            await settled()
            await send(start())  # held, and begun all the same
            await anyio.sleep(2.5)
            await send(body(await anyio.to_thread.run_sync(reader.read)))

    async with Exchange(BridgeMiddleware(app), headers=CHUNKED) as exchange:
        await exchange.end_body(b"abc")
    assert (heard, exchange.sent) == (["http.disconnect"], [start(), body(b"abc")])


async def test_empty_body_that_a_listener_has_met_can_be_opened() -> None:
    """It took nothing from anyone."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert await receive() == request(b"")
        await send(start())
        await send(body(b"%d" % len(await anyio.to_thread.run_sync(open_body(scope).read))))

    exchange = Exchange(BridgeMiddleware(app), method="GET", receive=[request(b"")])
    assert await exchange.run() == [start(), body(b"0")]


async def test_handler_below_a_middleware_that_unpacks() -> None:
    @handler
    def echo(request: Any, response: Any) -> bytes:
        whole: bytes = request.body.read()
        return whole

    exchange = Exchange(BridgeMiddleware(Unpack(echo)), headers=HEADERS, receive=SCRIPT)
    await exchange.run()
    echo.pool.close()
    assert exchange.body == TEXT
