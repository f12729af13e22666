"""Responses that stream, whose clients leave: while they wait, before they start, or soon after."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import ContextVar
from typing import Annotated, Any, Final

import httpx
from fastapi import Depends, FastAPI
from sse_starlette import EventSourceResponse
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse

from asgi_bridge.types import ASGIApp, Message

from .forms import Form, inside, worn
from .notes import gate, note

EVENTS: Final = "text/event-stream"
HELLO: Final = b"data: hello\n\n"
METHODS: Final = ["GET", "POST"]

_var: ContextVar[str] = ContextVar("_var", default="nobody's")


async def idle(key: str) -> AsyncIterator[bytes]:
    """Say one thing and wait for long; note how that ends, and that it ends where it began."""
    token, task = _var.set("ours"), asyncio.current_task()
    note(key, "begins")
    try:
        yield HELLO
        await asyncio.sleep(600)
    except BaseException as error:
        note(key, f"met {type(error).__name__}")
        raise
    finally:
        _var.reset(token)
        note(key, "ends in its task" if asyncio.current_task() is task else "ends elsewhere")


ENDED: Final = ["begins", "met CancelledError", "ends in its task"]


async def session(key: str) -> AsyncIterator[str]:
    """A dependency that notes, under a key of its own, what it does at the end."""
    try:
        yield key
    except BaseException as error:
        note(f"{key}-session", f"rolls back after {type(error).__name__}")
        raise
    else:
        note(f"{key}-session", "commits")
    finally:
        note(f"{key}-session", "closes")


Session = Annotated[str, Depends(session)]


async def ticking(key: str) -> AsyncIterator[bytes]:
    """Say something often."""
    note(key, "begins")
    try:
        for _ in range(1000):
            yield b"tick\n" * 100
            await asyncio.sleep(0.01)
    finally:
        note(key, "ends")


async def waiting(key: str) -> AsyncIterator[bytes]:
    """Say one thing and wait. It may be ended by whoever collects it: Hypercorn's `send` waits."""
    note(key, "begins")
    try:
        yield HELLO
        await asyncio.sleep(600)
    finally:
        note(key, "ends")


def ticking_in_thread(key: str) -> Iterator[bytes]:
    """The same, for a framework's thread; note when the last one is made."""
    for number in range(1000):
        note(key, "tick")
        yield b"tick %d\n" % number
        time.sleep(0.01)


def file_of_some_size() -> str:
    """A file that no socket's buffer holds."""
    with tempfile.NamedTemporaryFile("wb", suffix=".bin", delete=False) as file:
        file.write(bytes(1024) * 16_384)
    return file.name


def routed() -> FastAPI:
    """All routes. The query's `read` says that the body is read first."""
    app = FastAPI()
    path = file_of_some_size()
    upstreams: list[httpx.AsyncClient] = []
    slots: dict[str, asyncio.Semaphore] = {}

    def route(path: str) -> Callable[[Any], Any]:
        return app.api_route(path, methods=METHODS, response_model=None)

    async def read(request: Request) -> None:
        if "read" in request.query_params:
            await request.body()

    @route("/idle")
    async def idles(request: Request, key: Session) -> Response:
        await read(request)
        return StreamingResponse(idle(key), media_type=EVENTS)

    @route("/ticking")
    async def ticks(request: Request, key: Session) -> Response:
        await read(request)
        return StreamingResponse(ticking(key), media_type=EVENTS)

    @route("/sync-ticking")
    async def ticks_in_thread(request: Request, key: Session) -> Response:
        await read(request)
        return StreamingResponse(ticking_in_thread(key), media_type=EVENTS)

    @route("/sse")
    async def events(request: Request, key: str) -> Response:
        await read(request)

        async def closed(message: Message) -> None:
            note(f"{key}-closed", message["type"])

        return EventSourceResponse(events_of(key), client_close_handler_callable=closed)

    @route("/proxy")
    async def proxied(request: Request, key: Session, port: int, close: bool = False) -> Response:
        """Relay what another server sends, over a pool of five connections."""
        await read(request)
        if not upstreams:
            limits = httpx.Limits(max_connections=5)
            timeout = httpx.Timeout(None, pool=0.2)
            upstreams.append(httpx.AsyncClient(limits=limits, timeout=timeout))
        asked = upstreams[0].build_request("GET", f"http://127.0.0.1:{port}/")
        told = await upstreams[0].send(asked, stream=True)
        background = BackgroundTask(told.aclose) if close else None
        return StreamingResponse(told.aiter_raw(), media_type=EVENTS, background=background)

    @route("/file")
    async def downloaded(request: Request, key: Session) -> Response:
        await read(request)
        return FileResponse(path, background=BackgroundTask(note, key, "background"))

    @route("/background")
    async def followed(request: Request, key: Session) -> Response:
        await read(request)
        background = BackgroundTask(note, key, "background")
        return StreamingResponse(idle(key), media_type=EVENTS, background=background)

    @route("/late")
    async def late(request: Request, key: Session, place: str) -> Response:
        """Take the one slot of this place, wait for the gate, and give it back with the stream."""
        await read(request)
        slot = slots.setdefault(place, asyncio.Semaphore(1))
        await slot.acquire()
        note(f"{key}-slot", "taken")
        await gate(key).wait()

        async def generate() -> AsyncIterator[bytes]:
            try:
                async for chunk in waiting(key):
                    yield chunk
            finally:
                slot.release()
                note(f"{key}-slot", "given back")

        return StreamingResponse(generate(), media_type=EVENTS)

    @route("/late-background")
    async def late_background(request: Request, key: Session) -> Response:
        await read(request)
        note(f"{key}-slot", "taken")
        await gate(key).wait()
        background = BackgroundTask(note, f"{key}-slot", "given back")
        return StreamingResponse(waiting(key), media_type=EVENTS, background=background)

    @route("/late-file")
    async def late_file(request: Request, key: Session) -> Response:
        await read(request)
        note(f"{key}-slot", "taken")
        await gate(key).wait()
        return FileResponse(path, background=BackgroundTask(note, f"{key}-slot", "given back"))

    @route("/late-short")
    async def late_short(request: Request, key: Session) -> Response:
        await read(request)
        note(f"{key}-slot", "taken")
        await gate(key).wait()
        return Response("short", background=BackgroundTask(note, f"{key}-slot", "given back"))

    return app


async def events_of(key: str) -> AsyncIterator[str]:
    """`idle` as sse-starlette wants it."""
    async for _ in idle(key):
        yield "hello"


def on_fastapi(form: Form) -> ASGIApp:
    """The routes alone."""
    return worn(routed(), form)


Next = Callable[[Request], Awaitable[Response]]


def in_http_middleware(form: Form) -> ASGIApp:
    """The routes behind `@app.middleware("http")`, which is around the bridge that is inside."""
    app = routed()
    inside(app, form)

    @app.middleware("http")
    async def pass_on(request: Request, call_next: Next) -> Response:
        return await call_next(request)

    return worn(app, Form.WITHOUT if form is Form.INSIDE else form)
