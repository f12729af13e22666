"""Starlette applications that answer with the body of their request, as people write them."""

import queue
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route

from asgi_bridge import BridgeMiddleware, open_body
from asgi_bridge.types import ASGIApp

from . import bare

_ran: Final[queue.SimpleQueue[str | None]] = queue.SimpleQueue()


class PassThrough(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)


async def stream(request: Request) -> Response:
    return StreamingResponse(request.stream())


async def async_generator(request: Request) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        async for chunk in request.stream():
            yield chunk

    return StreamingResponse(chunks())


def blocking_generator(request: Request) -> Response:
    body = open_body(request)

    def chunks() -> Iterator[bytes]:
        yield from body.chunks()

    return StreamingResponse(chunks())


async def polling(request: Request) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        async for chunk in request.stream():
            assert not await request.is_disconnected()
            yield chunk

    return StreamingResponse(chunks())


async def with_background(request: Request) -> Response:
    name = request.query_params.get("name")
    return StreamingResponse(request.stream(), background=BackgroundTask(_ran.put, name))


def ran(request: Request) -> Response:
    """Answer once the background task of the request with this name has run."""
    name = request.query_params["name"]
    while _ran.get(timeout=10) != name:
        pass
    return PlainTextResponse(name)


def routed(endpoint: Callable[[Request], Any]) -> Route:
    return Route("/", endpoint, methods=["PUT"])


def plain(*routes: BaseRoute, middleware: type | None = None) -> Starlette:
    """The application without the bridge, perhaps with a middleware."""
    stack = [Middleware(middleware)] if middleware else []  # type: ignore[arg-type]  # any class
    return Starlette(routes=routes, middleware=stack)


def bridged(*routes: BaseRoute, middleware: type | None = None) -> Starlette:
    """The application with the bridge added, and perhaps a middleware further in."""
    app = plain(*routes, middleware=middleware)
    app.add_middleware(BridgeMiddleware)
    return app


def within(outer: Callable[..., Any], endpoint: Callable[[Request], Any]) -> Starlette:
    """The application with another middleware around the bridge."""
    stack = [Middleware(outer), Middleware(BridgeMiddleware)]
    return Starlette(routes=[routed(endpoint)], middleware=stack)


APPS: Final[dict[str, ASGIApp]] = {
    "starlette-stream": bridged(routed(stream)),
    "starlette-async-generator": bridged(routed(async_generator)),
    "starlette-blocking-generator": bridged(routed(blocking_generator)),
    "starlette-stream-base": bridged(routed(stream), middleware=PassThrough),
    "starlette-blocking-base": bridged(routed(blocking_generator), middleware=PassThrough),
    "starlette-stream-gzip": bridged(routed(stream), middleware=GZipMiddleware),
    "starlette-blocking-gzip": bridged(routed(blocking_generator), middleware=GZipMiddleware),
    "starlette-polling": bridged(routed(polling)),
    "starlette-background": bridged(routed(with_background), Route("/ran", ran, methods=["PUT"])),
    "starlette-route": bridged(Route("/", bare.echo, methods=["PUT"])),
    "starlette-mount": bridged(Mount("/", app=bare.echo)),
    "starlette-base-outside": within(PassThrough, stream),
    "starlette-blocking-base-outside": within(PassThrough, blocking_generator),
    "starlette-gzip-outside": within(GZipMiddleware, stream),
    "starlette-base-between": BridgeMiddleware(within(PassThrough, blocking_generator)),
    "starlette-wrapped": BridgeMiddleware(Starlette(routes=[routed(stream)])),
    # Inside of another middleware, too: whoever adds it there reads through both.
    "starlette-inside": BridgeMiddleware(
        Starlette(routes=[routed(stream)], middleware=[Middleware(BridgeMiddleware)])
    ),
}

BARE: Final[dict[str, ASGIApp]] = {
    "starlette-stream": plain(routed(stream)),
    "starlette-async-generator": plain(routed(async_generator)),
    "starlette-stream-base": plain(routed(stream), middleware=PassThrough),
    "starlette-stream-gzip": plain(routed(stream), middleware=GZipMiddleware),
    "starlette-polling": plain(routed(polling)),
    "starlette-background": plain(routed(with_background)),
}
