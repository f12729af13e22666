"""What is seen through the bridge: scopes, context variables, tasks, heads and header lists."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final

from fastapi import FastAPI, Request
from hypercorn.middleware import ProxyFixMiddleware
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from asgi_bridge import BridgeMiddleware, Limits
from asgi_bridge.types import ASGIApp, Message, Receive, Scope, Send

from .forms import Form, around, inside, key_of, worn
from .notes import gate, note

Next = Callable[[Request], Awaitable[Response]]


class Watching:
    """Notes what is in the scope when the response starts, and when the application is done."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        key = key_of(scope)

        async def send_watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                note(key, f"start {seen(scope)}")
            await send(message)

        await self._app(scope, receive, send_watched)
        note(key, f"end {seen(scope)}")


def seen(scope: Scope) -> str:
    """What the application has written into a scope."""
    path = getattr(scope.get("route"), "path", None)
    made = scope.get("state", {}).get("made")
    return f"{path} {scope.get('path_params')} {scope.get('written')} {made}"


SEEN: Final = "/items/{item} {'item': '42'} by the application by the application"


def watched(form: Form) -> ASGIApp:
    """A route of FastAPI's, with somebody around the bridge who looks into the scope."""
    app = FastAPI()
    inside(app, form)

    @app.middleware("http")
    async def log_access(request: Request, call_next: Next) -> Response:
        response = await call_next(request)
        response.headers["x-seen"] = seen(request.scope)
        return response

    @app.api_route("/items/{item}", methods=["GET", "POST"])
    async def item(request: Request, item: int) -> int:
        request.scope["written"] = request.state.made = "by the application"
        return item

    return Watching(around(app, form))


_from_receive: ContextVar[str] = ContextVar("_from_receive", default="nothing")
_from_send: ContextVar[str] = ContextVar("_from_send", default="nothing")
_from_app: ContextVar[str] = ContextVar("_from_app", default="nothing")


class Setting:
    """Sets context variables in its `receive` and `send`, and notes those of the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key, task = key_of(scope), asyncio.current_task()

        async def receive_setting() -> Message:
            message = await receive()
            _from_receive.set("set in receive")
            return message

        async def send_setting(message: Message) -> None:
            same = "same" if asyncio.current_task() is task else "other"
            note(key, f"{_from_app.get()} in the {same} task")
            _from_send.set("set in send")
            await send(message)

        await self._app(scope, receive_setting, send_setting)


async def varied(scope: Scope, receive: Receive, send: Send) -> None:
    """Read, send, and note the context variables that were set meanwhile."""
    key = key_of(scope)
    while (await receive()).get("more_body"):
        pass
    note(key, _from_receive.get())
    _from_app.set("set in the application")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"", "more_body": True})
    note(key, _from_send.get())
    await send({"type": "http.response.body", "body": b"done"})


def varying(form: Form) -> ASGIApp:
    """With somebody around who sets and sees context variables."""
    return Setting(around(varied, Form.AROUND if form is Form.INSIDE else form))


async def say_client(scope: Scope, receive: Receive, send: Send) -> None:
    body = str(scope["client"][0]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def proxied(form: Form) -> ASGIApp:
    """Hypercorn's middleware copies the scope deeply; it is inside the bridge."""
    fixed: Any = ProxyFixMiddleware(say_client)  # type: ignore[arg-type]  # its scopes are typed
    return around(fixed, Form.AROUND if form is Form.INSIDE else form)


# Of types whose subscribers wait for the head before they make anything happen.
AT_ONCE: Final[Mapping[str, str]] = {
    "sse": "text/event-stream",
    "ndjson": "application/x-ndjson",
    "ndjson-charset": "application/x-ndjson; charset=utf-8",
    "ndjson-capital": "Application/X-NDJSON",
    "jsonl": "application/jsonl",
    "json-seq": "application/json-seq",
    "stream-json": "application/stream+json",
    "mjpeg": "multipart/x-mixed-replace; boundary=frame",
}


async def subscribed(request: Any) -> Response:
    """Say nothing until the gate is opened."""

    async def generate() -> Any:
        await gate(request.query_params["key"]).wait()
        yield b"an event\n"

    media_type = AT_ONCE.get(request.path_params["name"], "text/plain")
    headers = {"content-type": media_type}
    return StreamingResponse(generate(), headers=headers)


def subscribing(form: Form) -> ASGIApp:
    """Streams of all those types."""
    return worn(Starlette(routes=[Route("/{name}", subscribed)]), form)


def held_for_a_time(form: Form) -> ASGIApp:
    """The same, where any head is let go after a time."""
    app = Starlette(routes=[Route("/{name}", subscribed)])
    return app if form is Form.WITHOUT else BridgeMiddleware(app, limits=Limits(hold_timeout=0.1))


async def read_and_count(request: Any) -> Response:
    return PlainTextResponse(f"{len(await request.body())} bytes")


def uploads(form: Form) -> ASGIApp:
    """What takes a body in."""
    return worn(Starlette(routes=[Route("/", read_and_count, methods=["PUT"])]), form)
