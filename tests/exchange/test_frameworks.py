"""Starlette and FastAPI behind the bridge: reading while answering, at the client's pace."""

import gzip
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import anyio.lowlevel
import fastapi
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from asgi_bridge import BridgeMiddleware, iterate_in_worker, open_body
from asgi_bridge.testing import AppState, Exchange, request
from asgi_bridge.types import ASGIApp

from .helpers import ending, lines

pytestmark = pytest.mark.anyio

Endpoint = Callable[..., Any]


class PassThrough(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)


def starlette_app(endpoint: Endpoint, *middleware: type) -> ASGIApp:
    stack = [Middleware(each) for each in middleware]  # type: ignore[arg-type]  # any class
    routes = [Route("/", endpoint, methods=["PUT"])]
    return BridgeMiddleware(Starlette(routes=routes, middleware=stack))


def fastapi_app(endpoint: Endpoint, *middleware: type) -> ASGIApp:
    app = fastapi.FastAPI(middleware=[Middleware(each) for each in middleware])  # type: ignore[arg-type]  # likewise
    app.put("/", response_model=None)(endpoint)
    return BridgeMiddleware(app)


FRAMEWORKS = pytest.mark.parametrize("make", [starlette_app, fastapi_app])


# Reading with the framework's own means.


async def echo(request: Request) -> Response:
    return StreamingResponse(request.stream())


async def lock_step(exchange: Exchange, upper: bool = False) -> None:
    for chunk in (b"aa", b"bb", b"cc"):
        await exchange.send_chunk(chunk)
        assert await exchange.expect_chunk() == (chunk.upper() if upper else chunk)
    await exchange.end_body()
    await exchange.expect_end()


@FRAMEWORKS
@pytest.mark.parametrize("middleware", [[], [PassThrough]], ids=["bare", "BaseHTTPMiddleware"])
async def test_streaming_response_of_the_request_stream(
    make: Callable[..., ASGIApp], middleware: list[type]
) -> None:
    async with Exchange(make(echo, *middleware)) as exchange:
        await lock_step(exchange)
    assert (exchange.status, exchange.body, exchange.complete) == (200, b"aabbcc", True)


@FRAMEWORKS
async def test_streaming_response_behind_gzip(make: Callable[..., ASGIApp]) -> None:
    app = make(echo, GZipMiddleware)
    async with Exchange(app, headers=[(b"accept-encoding", b"gzip")]) as exchange:
        for chunk in (b"aa", b"bb", b"cc"):
            await exchange.send_chunk(chunk)
            await exchange.until_receiving()
        await exchange.end_body()
    assert (b"content-encoding", b"gzip") in exchange.headers
    assert gzip.decompress(exchange.body) == b"aabbcc"


async def test_is_disconnected_between_reads_eats_nothing() -> None:
    async def endpoint(request: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            async for chunk in request.stream():
                assert not await request.is_disconnected()
                yield chunk

        return StreamingResponse(chunks())

    async with Exchange(starlette_app(endpoint)) as exchange:
        await lock_step(exchange)
    script = [request(b"aa", more_body=True), request(b"bb", more_body=True), request(b"cc")]
    exchange = Exchange(starlette_app(endpoint), receive=script)
    await exchange.run()
    assert exchange.body == b"aabbcc"


@FRAMEWORKS
@pytest.mark.parametrize("unread", [b"", b"aa"], ids=["empty", "unread"])
async def test_poll_that_never_reads_notices_the_disconnect(
    make: Callable[..., ASGIApp], unread: bytes
) -> None:
    polled = anyio.Event()

    async def endpoint(request: Request) -> Response:
        assert not await request.is_disconnected()
        polled.set()
        with anyio.fail_after(10):
            while not await request.is_disconnected():
                await anyio.lowlevel.checkpoint()
        return Response()

    async with Exchange(make(endpoint)) as exchange:
        await exchange.end_body(unread)
        await polled.wait()
        exchange.disconnect()
    assert (exchange.sent, ending(exchange)) == ([], (AppState.RETURNED, None))


class Stubborn:
    """The request's chunks, and one more after the disconnect."""

    def __init__(self, request: Request) -> None:
        self._chunks = request.stream()

    def __aiter__(self) -> "Stubborn":
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._chunks)
        except ClientDisconnect:
            return b"more"


async def test_client_that_leaves_a_starlette_stream(log: pytest.LogCaptureFixture) -> None:
    async def endpoint(request: Request) -> Response:
        return StreamingResponse(Stubborn(request))

    async with Exchange(starlette_app(endpoint)) as exchange:
        await exchange.send_chunk(b"a")
        assert await exchange.expect_chunk() == b"a"
        exchange.disconnect()
        await exchange.wait_closed()
    assert ending(exchange) == (AppState.RETURNED, None)
    assert (exchange.body, exchange.complete) == (b"a", False)
    assert lines(log) == [("WARNING", "PUT /: the client went away after 1 bytes of body")]


@FRAMEWORKS
async def test_endpoint_that_fails_is_an_honest_500(make: Callable[..., ASGIApp]) -> None:
    async def endpoint(request: Request) -> Response:
        raise ValueError("the endpoint's")

    async with Exchange(make(endpoint)) as exchange:
        await exchange.end_body()
        await exchange.wait_closed()
    assert ending(exchange) == (AppState.RAISED, ValueError)
    assert (exchange.status, exchange.complete) == (500, True)


@FRAMEWORKS
async def test_stream_that_fails_half_way_is_cut(make: Callable[..., ASGIApp]) -> None:
    async def endpoint(request: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"a"
            raise ValueError("half way")

        return StreamingResponse(chunks())

    async with Exchange(make(endpoint)) as exchange:
        await exchange.end_body()
        await exchange.wait_closed()
    assert exchange.outcome.state is AppState.RAISED
    assert (exchange.body, exchange.complete) == (b"a", False)


# Reading with open_body.


def upper_def(request: fastapi.Request) -> Response:
    body = open_body(request)
    return StreamingResponse(chunk.upper() for chunk in body.chunks())


async def upper_async(request: fastapi.Request) -> Response:
    body = open_body(request)
    return StreamingResponse(chunk.upper() for chunk in body.chunks())


async def upper_in_worker(request: fastapi.Request) -> Response:
    body = open_body(request.scope)
    return StreamingResponse(iterate_in_worker(chunk.upper() for chunk in body.chunks()))


def upper_lazily(request: fastapi.Request) -> Response:
    return StreamingResponse(chunk.upper() for chunk in open_body(request).chunks())


@FRAMEWORKS
@pytest.mark.parametrize("endpoint", [upper_def, upper_async, upper_in_worker, upper_lazily])
@pytest.mark.parametrize("middleware", [[], [PassThrough]], ids=["bare", "BaseHTTPMiddleware"])
async def test_lock_step_through_an_endpoint(
    make: Callable[..., ASGIApp], endpoint: Endpoint, middleware: list[type]
) -> None:
    async with Exchange(make(endpoint, *middleware)) as exchange:
        await lock_step(exchange, upper=True)
    assert (exchange.status, exchange.body, exchange.complete) == (200, b"AABBCC", True)
    assert exchange.receive_cancellations == 0


@FRAMEWORKS
@pytest.mark.parametrize("endpoint", [upper_def, upper_in_worker])
async def test_client_that_leaves_an_endpoint(
    make: Callable[..., ASGIApp], endpoint: Endpoint, log: pytest.LogCaptureFixture
) -> None:
    async with Exchange(make(endpoint)) as exchange:
        await exchange.send_chunk(b"a")
        assert await exchange.expect_chunk() == b"A"
        exchange.disconnect()
        await exchange.wait_closed()
    assert ending(exchange) == (AppState.RETURNED, None)
    assert (exchange.body, exchange.complete) == (b"A", False)
    assert len(lines(log)) == 1
