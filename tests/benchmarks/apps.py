"""The applications under test, one factory each.

A factory imports what it needs when it is called, so that a peer that is not installed fails its
own rows and no other. All of them can be served by hand as well, for instance with
`uvicorn --factory tests.benchmarks.apps:upper_bridge`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, BinaryIO, Final

from asgi_bridge.types import ASGIApp, Message, Receive, Scope, Send

from .etl_apps import buffered, digest_of, streaming

if TYPE_CHECKING:
    from a2wsgi.wsgi_typing import Environ, IterableChunks, StartResponse

    from asgi_bridge import Request, Response

BLOCK_BYTES: Final = 64 * 1024  # what AIStore's documentation reads at a time

OCTETS: Final = "application/octet-stream"
OCTET_HEADERS: Final = [(b"content-type", OCTETS.encode())]

HELLO: Final = b"Hello, world!\n"
HELLO_HEADERS: Final = [
    (b"content-type", b"text/plain"),
    (b"content-length", str(len(HELLO)).encode()),
]


# The blocking transforms.


def blocks(reader: BinaryIO) -> Iterator[bytes]:
    """The input, in blocks of `BLOCK_BYTES`."""
    while block := reader.read(BLOCK_BYTES):
        yield block


def upper_blocks(reader: BinaryIO) -> Iterator[bytes]:
    """AIStore's own streaming example: the input in upper case, by blocks."""
    while block := reader.read(BLOCK_BYTES):
        yield block.upper()


# Ours.


def blocks_bridge() -> ASGIApp:
    from asgi_bridge import handler

    @handler
    def blocks_of_body(request: "Request", response: "Response") -> Iterator[bytes]:
        while block := request.body.read(BLOCK_BYTES):
            yield block

    return blocks_of_body


def upper_bridge() -> ASGIApp:
    from asgi_bridge import handler

    @handler
    def upper(request: "Request", response: "Response") -> Iterator[bytes]:
        for chunk in request.body.chunks():
            yield chunk.upper()

    return upper


# AIStore's two classes, used as its FastAPIServer uses them, without its routing.


def aistore_app(transform: Callable[[BinaryIO], Iterator[bytes]]) -> ASGIApp:
    from aistore.sdk.etl.webserver.base_etl_server import (
        ETLServer,
    )
    from aistore.sdk.etl.webserver.fastapi_streaming import (
        _DeferredStartStreamingResponse,
        _RequestStreamReader,
    )
    from starlette.requests import Request as StarletteRequest

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        reader = _RequestStreamReader(StarletteRequest(scope, receive))
        output = ETLServer.iter_and_close(transform(reader), reader)
        respond = _DeferredStartStreamingResponse(output, status_code=200, media_type=OCTETS)
        await respond(scope, receive, send)

    return app


def blocks_aistore() -> ASGIApp:
    return aistore_app(blocks)


def upper_aistore() -> ASGIApp:
    return aistore_app(upper_blocks)


# a2wsgi, with its own defaults.


def upper_a2wsgi() -> ASGIApp:
    from a2wsgi import WSGIMiddleware

    def upper(environ: "Environ", start_response: "StartResponse") -> "IterableChunks":
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])).upper()
        start_response("200 OK", [("content-type", OCTETS), ("content-length", str(len(body)))])
        return [body]

    bridged: ASGIApp = WSGIMiddleware(upper)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":  # a2wsgi knows no lifespan
            await bridged(scope, receive, send)

    return app


# Pure async: nothing blocks, nothing crosses. The bound that a bridge can come near to.


def upper_async() -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": OCTET_HEADERS})
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            more = message.get("more_body", False)
            body = message.get("body", b"").upper()
            await send({"type": "http.response.body", "body": body, "more_body": more})

    return app


# Hello world, with the middleware above it and without.


def hello_bare() -> ASGIApp:
    start: Message = {"type": "http.response.start", "status": 200, "headers": HELLO_HEADERS}
    body: Message = {"type": "http.response.body", "body": HELLO}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        await send(start)
        await send(body)

    return app


def hello_fastapi() -> ASGIApp:
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/")
    async def hello() -> dict[str, str]:
        return {"hello": "world"}

    return app


def bridged(make: Callable[[], ASGIApp]) -> Callable[[], ASGIApp]:
    """A factory of the same application under a BridgeMiddleware."""

    def make_bridged() -> ASGIApp:
        from asgi_bridge import BridgeMiddleware

        return BridgeMiddleware(make())

    return make_bridged


@dataclass(frozen=True, slots=True)
class App:
    """One application: how it is made, and the modules that must be there for it."""

    make: Callable[[], ASGIApp]
    needs: tuple[str, ...] = ()

    def missing(self) -> str | None:
        """The first needed module that is not installed."""
        return next((name for name in self.needs if find_spec(name) is None), None)


APPS: Final = {
    "blocks_bridge": App(blocks_bridge, ("asgi_bridge",)),
    "blocks_aistore": App(blocks_aistore, ("aistore", "starlette")),
    "upper_bridge": App(upper_bridge, ("asgi_bridge",)),
    "upper_aistore": App(upper_aistore, ("aistore", "starlette")),
    "upper_a2wsgi": App(upper_a2wsgi, ("a2wsgi",)),
    "upper_async": App(upper_async),
    "etl_streaming": App(streaming("ours"), ("asgi_bridge", "aiohttp")),
    "etl_streaming_aistore": App(streaming("aistore"), ("aistore", "fastapi")),
    "etl_buffered": App(buffered("ours"), ("asgi_bridge", "aiohttp")),
    "etl_buffered_aistore": App(buffered("aistore"), ("aistore", "fastapi")),
    "etl_digest": App(buffered("ours", digest_of), ("asgi_bridge", "aiohttp")),
    "etl_digest_aistore": App(buffered("aistore", digest_of), ("aistore", "fastapi")),
    "hello_bare": App(hello_bare),
    "hello_bare_bridged": App(bridged(hello_bare), ("asgi_bridge",)),
    "hello_fastapi": App(hello_fastapi, ("fastapi",)),
    "hello_fastapi_bridged": App(bridged(hello_fastapi), ("asgi_bridge", "fastapi")),
}
