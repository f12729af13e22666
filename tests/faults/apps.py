"""What the servers run under faults: one application, with all others below it by path."""

import asyncio
import gc
import hashlib
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import trio
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import StreamingResponse
from starlette.routing import Route

from asgi_bridge import BridgeMiddleware, Limits, Request, Response, WorkerPool, handler, open_body
from asgi_bridge.crossing.lines import Job
from asgi_bridge.types import ASGIApp, Receive, Scope, Send

from ..mounting import mounted

# Seconds; short, for what a test waits for. Everything else is as it comes.
TIMEOUT: Final = float(os.environ.get("FAULTS_TIMEOUT", "1.5"))
LIMITS: Final = Limits(
    read_timeout=TIMEOUT, write_timeout=TIMEOUT, drain_timeout=0.3, abandon_timeout=1.0
)
POOL: Final = WorkerPool(size=24, name="pool")
BUSY: Final = WorkerPool(size=2, backlog=2, name="busy")
BLOCK: Final = 16 * 1024
CYCLE: Final = bytes(range(256)) * (BLOCK // 256)


def number_of(request: Request) -> int:
    """The query, which is a number."""
    return int(request.scope["query_string"])


@handler(limits=LIMITS, pool=POOL)
def upper(request: Request, response: Response) -> Iterator[bytes]:
    """Answers while it reads."""
    for chunk in request.body.chunks():
        yield chunk.upper()


@handler(limits=LIMITS, pool=POOL)
def digest(request: Request, response: Response) -> str:
    """Reads all, then answers."""
    return hashlib.file_digest(request.body, "sha256").hexdigest()


@handler(limits=LIMITS, pool=POOL)
def download(request: Request, response: Response) -> Iterator[bytes]:
    """As many blocks as the query says, whatever is uploaded."""
    for _ in range(number_of(request)):
        yield CYCLE


@handler(limits=LIMITS, pool=POOL)
def raising(request: Request, response: Response) -> Iterator[bytes]:
    """As many blocks as the query says, and no end."""
    for _ in range(number_of(request)):
        yield CYCLE
    raise RuntimeError("raised on purpose")


@handler(limits=Limits(max_body_bytes=100_000, drain_timeout=0.3), pool=POOL)
def limited(request: Request, response: Response) -> bytes:
    """Takes a small body."""
    return request.body.read()


@handler(limits=LIMITS, pool=BUSY)
def busy(request: Request, response: Response) -> bytes:
    """Keeps one of two workers for as many milliseconds as the query says."""
    time.sleep(number_of(request) / 1000)
    return b"done"


async def echo(request: StarletteRequest) -> StreamingResponse:
    return StreamingResponse(request.stream())


def sync_upper(request: StarletteRequest) -> StreamingResponse:
    body = open_body(request)
    return StreamingResponse(chunk.upper() for chunk in body.chunks())


inner = Starlette(
    routes=[
        Route("/echo", echo, methods=["PUT"]),
        Route("/sync", sync_upper, methods=["PUT"]),
    ]
)
bridged = BridgeMiddleware(inner, limits=LIMITS)


async def health(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers on the loop."""
    await answer(send, b"ok")


async def state(scope: Scope, receive: Receive, send: Send) -> None:
    """What this process still does: tasks, threads by the beginning of their names, workers.

    And how many blocks of memory Python has in use, garbage aside: what leaks makes more of them,
    whatever the allocators below do with their heaps.
    """
    gc.collect()
    names = [thread.name.rpartition("-")[0] for thread in threading.enumerate()]
    seen: dict[str, Any] = {
        "pid": os.getpid(),
        "tasks": tasks(),
        "busy": POOL.statistics().busy + BUSY.statistics().busy,
        "pool": sum(name == "pool" for name in names),
        "blocks": sys.getallocatedblocks(),
    }
    await answer(send, json.dumps(seen).encode())


class Together(Job):
    """Keeps a worker until as many have come as the barrier wants."""

    def __init__(self, barrier: threading.Barrier) -> None:
        super().__init__()
        self._barrier = barrier

    def run(self) -> None:
        self._barrier.wait(10)

    def done(self) -> None:
        pass

    def refused(self, error: BaseException) -> None:
        raise AssertionError("the pool is new") from error


async def warm(scope: Scope, receive: Receive, send: Send) -> None:
    """Start every thread of the pool, so that none is counted as new later."""
    barrier = threading.Barrier(POOL.size)
    for _ in range(POOL.size):
        POOL.submit(Together(barrier), ready=True)
    await answer(send, b"warm")


def tasks() -> int:
    if "trio" in sys.modules and trio.lowlevel.in_trio_run():
        return trio.lowlevel.current_statistics().tasks_living
    return len(asyncio.all_tasks())


async def answer(send: Send, whole: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(whole))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": whole})


APPS: Final[dict[str, ASGIApp]] = {
    "bridged": bridged,
    "busy": busy,
    "digest": digest,
    "download": download,
    "health": health,
    "limited": limited,
    "raising": raising,
    "state": state,
    "upper": upper,
    "warm": warm,
}


app: Final = mounted(APPS)
