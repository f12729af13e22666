"""Applications that read their request's body: while they answer, and behind who has changed it."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final, cast

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from litestar import Litestar
from litestar import Request as LitestarRequest
from litestar import put as litestar_put
from litestar.middleware import DefineMiddleware
from litestar.response import Stream
from quart import Quart
from quart import request as quart_request
from sse_starlette import EventSourceResponse
from starlette.responses import Response

from asgi_bridge import BridgeMiddleware, Limits, handler, iterate_in_worker, open_body
from asgi_bridge import Request as HandlerRequest
from asgi_bridge import Response as HandlerResponse
from asgi_bridge.types import ASGIApp, Message, Receive, Scope, Send

from .forms import Form, around, inside, key_of, worn
from .notes import note

Next = Callable[[Request], Awaitable[Response]]


async def relayed(request: Request, key: str) -> AsyncIterator[bytes]:
    """The body as it comes; note how that ends."""
    try:
        async for chunk in request.stream():
            yield chunk
        note(key, "end")
    except BaseException as error:
        note(key, f"met {type(error).__name__}")
        raise
    finally:
        note(key, "closed")


def streaming() -> FastAPI:
    app = FastAPI()

    @app.put("/stream", response_model=None)
    async def stream(request: Request, key: str) -> Response:
        return StreamingResponse(relayed(request, key))

    @app.put("/thinking", response_model=None)
    async def thinking(request: Request, key: str) -> Response:
        """Take the body in and go on answering for long, without a word."""

        async def generate() -> AsyncIterator[bytes]:
            async for chunk in relayed(request, key):
                yield chunk
            try:
                await asyncio.sleep(600)
            except BaseException as error:
                note(key, f"idle met {type(error).__name__}")
                raise

        return StreamingResponse(generate())

    @app.put("/file", response_model=None)
    async def file(request: Request, key: str) -> Response:
        """A file, while nobody reads the body."""
        return FileResponse(__file__)

    @app.put("/short", response_model=None)
    async def short(request: Request, key: str) -> Response:
        """A stream that is done while nobody reads the body."""
        return StreamingResponse(iter([b"done"]))

    @app.put("/sse", response_model=None)
    async def events(request: Request, key: str) -> Response:
        """sse-starlette listens itself, so only `open_body` keeps the body."""

        async def generate() -> AsyncIterator[str]:
            body = await asyncio.to_thread(lambda: opened.read())
            yield f"{len(body)} bytes"

        opened = open_body(request)
        return EventSourceResponse(generate())

    return app


def on_fastapi(form: Form) -> ASGIApp:
    """The routes alone."""
    return worn(streaming(), form)


def in_http_middleware(form: Form) -> ASGIApp:
    """The routes behind `@app.middleware("http")`, around the bridge that is inside."""
    app = streaming()
    inside(app, form)

    @app.middleware("http")
    async def pass_on(request: Request, call_next: Next) -> Response:
        return await call_next(request)

    return worn(app, Form.WITHOUT if form is Form.INSIDE else form)


@litestar_put("/stream")
async def litestar_stream(request: LitestarRequest[Any, Any, Any]) -> Stream:
    """Litestar's `Stream` listens whatever it is told, so the body has to be claimed."""
    return Stream(iterate_in_worker(open_body(request).chunks()))


def on_litestar(form: Form) -> ASGIApp:
    """Litestar's `Stream` of an opened body."""
    added = [DefineMiddleware(cast(Any, BridgeMiddleware))] if form is Form.INSIDE else []
    # None: Litestar's own set-up of logging is for the whole process
    app = Litestar([litestar_stream], middleware=added, logging_config=None)
    return around(cast(ASGIApp, app), form)


def on_quart(form: Form) -> ASGIApp:
    """Quart's `request.body`, which a task of its own takes in."""
    app = Quart(__name__)

    @app.put("/stream")
    async def stream() -> AsyncIterator[bytes]:
        chunks = quart_request.body

        async def generate() -> AsyncIterator[bytes]:
            async for chunk in chunks:
                yield chunk

        return generate()

    return around(cast(ASGIApp, app.asgi_app), Form.AROUND if form is Form.INSIDE else form)


# What stands between the bridge and the one that opens the body.


class Gunzip:
    """Unpacks a request's body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        packed = scope["type"] == "http" and (b"content-encoding", b"gzip") in scope["headers"]
        if not packed:
            await self._app(scope, receive, send)
            return
        unpacking = zlib.decompressobj(31)

        async def receive_unpacked() -> Message:
            message = await receive()
            if message["type"] != "http.request":
                return message
            return {**message, "body": unpacking.decompress(message.get("body", b""))}

        changed = (b"content-encoding", b"content-length")
        headers = [pair for pair in scope["headers"] if pair[0] not in changed]
        await self._app({**scope, "headers": headers}, receive_unpacked, send)


class ReadAndTell:
    """Reads the body, and tells it again."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        messages = [await receive()]
        while messages[-1].get("more_body"):
            messages.append(await receive())

        async def receive_again() -> Message:
            return messages.pop(0) if messages else await receive()

        await self._app(scope, receive_again, send)


def described(body: bytes) -> dict[str, object]:
    """What a body was."""
    return {"bytes": len(body), "text": body[:5] == b"plain"}


@handler
def handling(request: HandlerRequest, response: HandlerResponse) -> str:
    body = request.body.read()
    return f"{len(body)} {body[:5] == b'plain'}"


class Between(Exception):
    """What the application raises after it has opened the body."""


def opening(more: dict[str, Any]) -> FastAPI:
    """Every way to have the body, with the same answer."""
    app = FastAPI(**more)

    @app.post("/stream")
    async def stream(request: Request) -> dict[str, object]:
        return described(b"".join([chunk async for chunk in request.stream()]))

    @app.post("/open")
    def opened(request: Request) -> dict[str, object]:
        return described(open_body(request).read())

    @app.post("/open-spooled")
    def opened_spooled(request: Request) -> dict[str, object]:
        body = open_body(request, spool=True)
        body.seek(0, 2)
        body.seek(0)
        return described(body.read())

    @app.post("/open-async")
    async def opened_async(request: Request) -> dict[str, object]:
        return described(await asyncio.to_thread(open_body(request).read))

    @app.post("/open-parts")
    async def opened_parts(request: Request) -> dict[str, object]:
        body = open_body(request.scope, request.receive)
        return described(await asyncio.to_thread(body.read))

    @app.post("/open-scope")
    async def opened_scope(request: Request) -> dict[str, object]:
        return described(await asyncio.to_thread(open_body(request.scope).read))

    @app.post("/fail/{how}")
    def fail(request: Request, how: str) -> None:
        """Open the body, read none, some or all of it, and fail."""
        body = open_body(request)
        if how != "none":
            body.read(3 if how == "some" else -1)
        raise Between

    @app.exception_handler(Between)
    async def on_between(request: Request, error: Between) -> JSONResponse:
        """Do what handlers that log the body do."""
        try:
            body = await request.body()
        except Exception as failure:
            return JSONResponse({"met": type(failure).__name__}, 400)
        return JSONResponse({"had": len(body)}, 400)

    app.mount("/handler", handling)
    return app


def with_nothing_between(form: Form) -> ASGIApp:
    """Nothing in between."""
    return worn(opening({}), form)


def behind_gunzip(form: Form) -> ASGIApp:
    """A middleware that unpacks is inside the bridge."""
    app = opening({})
    app.add_middleware(Gunzip)
    return worn(app, form)


def behind_a_limit(form: Form) -> ASGIApp:
    """FastAPI's own limit is inside the bridge."""
    return worn(opening({"max_body_size": 1000}), form)


def behind_a_reader(form: Form) -> ASGIApp:
    """A middleware that has read the body is inside the bridge."""
    app = opening({})

    @app.middleware("http")
    async def read(request: Request, call_next: Next) -> Response:
        await request.body()
        return await call_next(request)

    return worn(app, form)


def behind_a_repeater(form: Form) -> ASGIApp:
    """A bare middleware that reads the body and tells it again is inside the bridge."""
    app = opening({})
    app.add_middleware(ReadAndTell)
    return worn(app, form)


def behind_http_middleware(form: Form) -> ASGIApp:
    """A middleware of Starlette's that does nothing is inside the bridge."""
    app = opening({})

    @app.middleware("http")
    async def pass_on(request: Request, call_next: Next) -> Response:
        return await call_next(request)

    return worn(app, form)


async def beside_a_listener(scope: Scope, receive: Receive, send: Send) -> None:
    """Listen in a task, and open the body while that waits; it must not be hurt."""
    key = key_of(scope)

    async def listen() -> None:
        try:
            note(key, str((await receive())["type"]))
        except BaseException as error:
            note(key, type(error).__name__)
            raise

    listening = asyncio.create_task(listen())
    await asyncio.sleep(0.01)  # until it waits
    body = open_body(scope)
    note(f"{key}-claimed", "claimed")
    length = len(await asyncio.to_thread(body.read))
    note(key, f"{length} bytes")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d" % length})
    listening.cancel()


def listening(form: Form) -> ASGIApp:
    """A bare one, and a bridge around it."""
    return BridgeMiddleware(beside_a_listener)


def halved(form: Form) -> ASGIApp:
    """An application of which the bridge holds the start until the upload is over."""
    app = streaming()
    return app if form is Form.WITHOUT else BridgeMiddleware(app, limits=Limits(duplex="half"))


def halved_handler(form: Form) -> ASGIApp:
    """A handler likewise."""

    @handler(limits=Limits(duplex="half"))
    def echo(request: HandlerRequest, response: HandlerResponse) -> Iterator[bytes]:
        return request.body.chunks()

    return echo


FILE: Final = __file__
