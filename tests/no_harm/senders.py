"""Bare applications and WSGI behind an adapter: who sends from where, and what that comes to."""

import asyncio
import threading
import time
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final
from urllib.parse import parse_qs

from a2wsgi import WSGIMiddleware

from asgi_bridge import BridgeMiddleware
from asgi_bridge.types import ASGIApp, Receive, Scope, Send

from .forms import Form, around, key_of
from .notes import gate, note

START: Final = {"type": "http.response.start", "status": 200, "headers": []}
LAST: Final = {"type": "http.response.body", "body": b"", "more_body": False}
TICKS: Final = 25
PAUSE: Final = 0.008


def tick() -> dict[str, Any]:
    return {"type": "http.response.body", "body": b"tick\n" * 100, "more_body": True}


async def send_noting(send: Send, message: dict[str, Any], key: str) -> None:
    """Send, and note what that raises."""
    try:
        await send(message)
    except Exception as error:
        note(key, f"send raised {type(error).__name__}")
        raise


async def ticks(send: Send, key: str) -> None:
    await send_noting(send, START, key)
    for _ in range(TICKS):
        await send_noting(send, tick(), key)
        await asyncio.sleep(PAUSE)
    await send_noting(send, LAST, key)


async def in_a_task(scope: Scope, receive: Receive, send: Send) -> None:
    """All is sent by a task of the application's."""
    key = key_of(scope)
    await asyncio.create_task(ticks(send, key))
    note(key, "done")


async def in_short_tasks(scope: Scope, receive: Receive, send: Send) -> None:
    """Each message is sent by a task of its own, with a limit."""
    key = key_of(scope)
    await send(START)
    for _ in range(TICKS):
        await asyncio.wait_for(asyncio.create_task(send_noting(send, tick(), key)), 5)
        await asyncio.sleep(PAUSE)
    await send(LAST)
    note(key, "done")


async def through_a_queue(scope: Scope, receive: Receive, send: Send) -> None:
    """A producer and a task that sends, with a short queue between them, as a2wsgi has it."""
    key = key_of(scope)
    queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(2)

    async def pump() -> None:
        while (message := await queue.get()) is not LAST:
            await send_noting(send, message, key)
        await send_noting(send, LAST, key)

    pumping = asyncio.create_task(pump())
    for message in (START, *(tick() for _ in range(TICKS)), LAST):
        await queue.put(message)
        await asyncio.sleep(PAUSE)
    await pumping
    note(key, "done")


async def after_listening(scope: Scope, receive: Receive, send: Send) -> None:
    """Wait until the client has left, and then send: that returns."""
    key = key_of(scope)
    await send(START)
    await send(tick())
    while (await receive())["type"] != "http.disconnect":
        pass
    note(key, "told")
    for _ in range(3):
        await send_noting(send, tick(), key)
    await send_noting(send, LAST, key)
    note(key, "done")


async def beside_a_listener(scope: Scope, receive: Receive, send: Send) -> None:
    """A task listens, another one sends until it is told to stop, as many frameworks have it."""
    key = key_of(scope)

    async def listen() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        note(key, "told")

    listening = asyncio.create_task(listen())
    await send(START)
    while not listening.done():
        await send_noting(send, tick(), key)
        await asyncio.sleep(PAUSE)
    await send_noting(send, LAST, key)
    note(key, "done")


async def before_the_start(scope: Scope, receive: Receive, send: Send) -> None:
    """The client has left before the start: what one chunk and the end are sent to returns."""
    key = key_of(scope)
    note(f"{key}-slot", "taken")
    await gate(key).wait()
    for message in (START, tick(), LAST):
        await send_noting(send, message, key)
    note(key, "done")


async def endless(scope: Scope, receive: Receive, send: Send) -> None:
    """Send for ever, never listen, and never ask."""
    key = key_of(scope)
    try:
        await send(START)
        for _ in range(2000):  # not for ever without the bridge, either
            await send(tick())
            await asyncio.sleep(PAUSE / 2)
    except OSError as error:
        note(key, f"met {type(error).__name__}")
        raise


async def told(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the ASGI version that one is told of."""
    version = str(scope["asgi"].get("spec_version"))
    await send(START)
    await send({"type": "http.response.body", "body": version.encode()})


BARE: Final[dict[str, ASGIApp]] = {
    "in-a-task": in_a_task,
    "in-short-tasks": in_short_tasks,
    "through-a-queue": through_a_queue,
    "after-listening": after_listening,
    "beside-a-listener": beside_a_listener,
    "before-the-start": before_the_start,
    "endless": endless,
    "told": told,
}


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """The one that the path names."""
    await BARE[scope["path"].split("/")[2]](scope, receive, send)


def on_bare(form: Form) -> ASGIApp:
    """All of the bare ones; inside and around are the same for them."""
    return around(bare, Form.AROUND if form is Form.INSIDE else form)


def promised(form: Form) -> ASGIApp:
    """The same, asked for ASGI 2.4's promise."""
    return bare if form is Form.WITHOUT else BridgeMiddleware(bare, raise_on_disconnect=True)


Environ = dict[str, Any]
StartResponse = Callable[..., object]


class Rows:
    """A WSGI application whose responses stream, and which knows how many of them are open."""

    def __init__(self) -> None:
        self._open = 0
        self._lock = threading.Lock()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        if environ["PATH_INFO"].endswith("/live"):
            return iter([b"open=%d" % self._open])
        return self._rows(parse_qs(environ["QUERY_STRING"])["key"][0])

    def _rows(self, key: str) -> Iterator[bytes]:
        self._count(1)
        try:
            for _ in range(TICKS):
                time.sleep(PAUSE)
                yield b"row\n" * 100
            note(key, "made all")
        finally:
            self._count(-1)
            note(key, "closed")

    def _count(self, change: int) -> None:
        with self._lock:
            self._open += change


def on_a2wsgi(form: Form) -> ASGIApp:
    """Ten workers."""
    adapted: Any = WSGIMiddleware(Rows())
    return around(adapted, Form.AROUND if form is Form.INSIDE else form)


def on_starlettes_wsgi(form: Form) -> ASGIApp:
    """Starlette's own, which it deprecates and applications still use."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from starlette.middleware.wsgi import WSGIMiddleware as Old
    adapted: Any = Old(Rows())
    return around(adapted, Form.AROUND if form is Form.INSIDE else form)


async def cancelled_sends(scope: Scope, receive: Receive, send: Send) -> None:
    """Large messages, each with a short limit; who is late is left out, or comes whole."""
    await send(START)
    for number in range(MESSAGES):
        await within(0.05, send({**tick(), "body": bytes([200 + number]) * LARGE}))
    await send(LAST)


async def within(limit: float, sending: Awaitable[None]) -> None:
    try:
        await asyncio.wait_for(sending, limit)
    except TimeoutError:
        pass


LARGE: Final = 200_000
MESSAGES: Final = 30


def on_slow_readers(form: Form) -> ASGIApp:
    """An application that cancels its sends."""
    return around(cancelled_sends, Form.AROUND if form is Form.INSIDE else form)


def whole_and_in_part(body: bytes) -> Counter[str]:
    """How many of the large messages came whole, not at all, or in part."""
    counts = [body.count(bytes([200 + number])) for number in range(MESSAGES)]
    names = {0: "none", LARGE: "whole"}
    return Counter(names.get(count, "part") for count in counts)
