"""What stands behind the proxies: one application that has all others below its path."""

import asyncio
import os
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args
from urllib.parse import parse_qs

from fastapi import FastAPI
from fastapi import Request as FastAPIRequest
from fastapi.responses import StreamingResponse
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.routing import Route

from asgi_bridge import (
    BridgeMiddleware,
    HTTPError,
    Limits,
    Request,
    Response,
    handler,
    open_body,
)
from asgi_bridge.doctor.clients.base import BLOCK
from asgi_bridge.types import ASGIApp, Receive, Scope, Send

from ..mounting import mounted

Duplex = Literal["auto", "full", "half"]


def duplex_named(name: str) -> Duplex:
    """One of the words that `Limits.duplex` knows."""
    (word,) = [each for each in get_args(Duplex) if each == name]
    found: Duplex = word
    return found


# What is tested are the defaults; DUPLEX=full shows what the proxies do without the bridge's help.
LIMITS: Final = Limits(duplex=duplex_named(os.environ.get("DUPLEX", "auto")))

PATIENCE: Final = 5.0  # seconds that somebody who asks waits for a note
TICK: Final = 0.05  # seconds between two chunks of what goes on for ever


@dataclass(frozen=True, slots=True)
class Story:
    """What became of a request whose client has left.

    Attributes:
        begun: set once the application runs.
        met: what ended it.
    """

    begun: threading.Event = field(default_factory=threading.Event)
    met: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)


_stories: Final[dict[str, Story]] = {}


def story(key: str) -> Story:
    """The one of a request, which names its key in its query."""
    return _stories.setdefault(key, Story())


@handler(limits=LIMITS)
def echo(request: Request, response: Response) -> Iterator[bytes]:
    """Gives back each chunk as it comes."""
    return request.body.chunks()


blocking: Final = FastAPI()


@blocking.put("/")
def give_back(request: FastAPIRequest) -> StreamingResponse:
    """The same, from a framework's endpoint that blocks."""
    return StreamingResponse(open_body(request).chunks())


blocking.add_middleware(BridgeMiddleware, limits=LIMITS)


async def stream(request: StarletteRequest) -> StreamingResponse:
    """The same, as people write it who know of no bridge."""
    return StreamingResponse(request.stream())


streaming: Final = Starlette(routes=[Route("/", stream, methods=["PUT"])])
streaming.add_middleware(BridgeMiddleware, limits=LIMITS)


@handler(limits=LIMITS)
def download(request: Request, response: Response) -> Iterator[bytes]:
    """As many blocks as are wanted, made on the fly."""
    for number in range(int(request.query["blocks"])):
        yield b"%16x" % number * (BLOCK // 16)


@handler(limits=LIMITS)
def refusing(request: Request, response: Response) -> None:
    """Refuses without reading."""
    raise HTTPError(401)


@handler(limits=LIMITS)
def breaking(request: Request, response: Response) -> Iterator[bytes]:
    """Fails after its first byte."""
    yield b"first"
    raise RuntimeError("broke on purpose")


@handler(limits=LIMITS)
def breaking_declared(request: Request, response: Response) -> Iterator[bytes]:
    """Fails after its first byte; a client that knows the length cannot take it for the end."""
    response.headers["content-length"] = "10"
    yield b"first"
    raise RuntimeError("broke on purpose")


@handler(limits=LIMITS)
def ticking(request: Request, response: Response) -> Iterator[bytes]:
    """Writes for ever, and notes what ends that."""
    here = story(request.query["key"])
    here.begun.set()
    try:
        while True:
            yield b"tick"
            time.sleep(TICK)
    except BaseException as error:
        here.met.put(type(error).__name__)
        raise


@handler(limits=LIMITS)
def uploading(request: Request, response: Response) -> str:
    """Reads to the end, and notes what it meets there."""
    here = story(request.query["key"])
    here.begun.set()
    try:
        while request.body.read1():
            pass
    except BaseException as error:
        here.met.put(type(error).__name__)
        raise
    here.met.put("the end")
    return "read"


@BridgeMiddleware
async def idle(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with an event, then waits for its client to leave, and notes when that is."""
    here = story(parse_qs(scope["query_string"].decode())["key"][0])
    here.begun.set()
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
    try:
        while (await receive())["type"] != "http.disconnect":
            pass
        here.met.put("http.disconnect")
    except asyncio.CancelledError:
        here.met.put("CancelledError")
        raise


@handler
def met(request: Request, response: Response) -> str:
    """What has ended the request of a key, once it has."""
    try:
        return story(request.query["key"]).met.get(timeout=PATIENCE)
    except queue.Empty:
        return "nothing"


@handler
def begun(request: Request, response: Response) -> str:
    """Whether the request of a key has reached its application; waits for half a second."""
    return "yes" if story(request.query["key"]).begun.wait(0.5) else "no"


APPS: Final[Mapping[str, ASGIApp]] = {
    "begun": begun,
    "blocking": blocking,
    "breaking": breaking,
    "breaking_declared": breaking_declared,
    "download": download,
    "echo": echo,
    "idle": idle,
    "met": met,
    "refusing": refusing,
    "streaming": streaming,
    "ticking": ticking,
    "uploading": uploading,
}

app: Final = mounted(APPS)
