"""What the servers run that are told to end: exchanges that wait at every place there is.

What each of them meets goes, line by line, into the file that the environment names.
"""

import os
import time
from collections.abc import Iterator
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.responses import Response as StarletteResponse
from starlette.routing import Route

from asgi_bridge import BridgeMiddleware, Limits, Request, Response, handler, open_body
from asgi_bridge.types import ASGIApp, Receive, Scope, Send

RECORD: Final = "ASGI_BRIDGE_TEST_RECORD"
TIMEOUT: Final = "ASGI_BRIDGE_TEST_TIMEOUT"  # seconds
LIMITS: Final = Limits(shutdown_timeout=float(os.environ.get(TIMEOUT, "1")))


def note(what: str) -> None:
    """Add a line to the record; one write, so that threads and processes may share it."""
    with open(os.environ[RECORD], "ab", buffering=0) as file:
        file.write(f"{what}\n".encode())


class Noting:
    """Notes the exception that leaves the block, and its end."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        note(f"{self._name} begins")

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        note(f"{self._name} met {kind.__name__ if kind else 'nothing'}")


@handler(limits=LIMITS)
def upper(request: Request, response: Response) -> Iterator[bytes]:
    """Answers in lock-step."""
    with Noting("upper"):
        for chunk in request.body.chunks():
            yield chunk.upper()


@handler(limits=LIMITS)
def reading(request: Request, response: Response) -> bytes:
    """Waits for all of its body, nothing being sent."""
    with Noting("reading"):
        return request.body.read()


@handler(limits=LIMITS)
def writing(request: Request, response: Response) -> None:
    """Writes without end."""
    with Noting("writing"):
        while True:
            response.write(bytes(64 * 1024))


@handler(limits=LIMITS)
def busy(request: Request, response: Response) -> bytes:
    """Is stuck in its own code."""
    note("busy begins")
    time.sleep(600)
    return b"late"


def on_thread(request: StarletteRequest) -> StarletteResponse:
    """Reads on a framework's thread."""
    with Noting("on-thread"), open_body(request) as body:
        return PlainTextResponse(body.read())


def on_busy_thread(request: StarletteRequest) -> StarletteResponse:
    """Is stuck on a framework's thread."""
    note("on-busy-thread begins")
    time.sleep(600)
    return PlainTextResponse("late")


async def receiving(request: StarletteRequest) -> StarletteResponse:
    """Reads as applications do."""
    with Noting("receiving"):
        return PlainTextResponse(await request.body())


def streaming(request: StarletteRequest) -> StarletteResponse:
    """Streams out what it reads."""

    def chunks() -> Iterator[bytes]:
        with Noting("streaming"):
            for chunk in open_body(request).chunks():
                yield chunk.upper()

    return StreamingResponse(chunks())


METHODS: Final = ["PUT"]
starlette: Final = Starlette(
    routes=[
        Route("/on-thread", on_thread, methods=METHODS),
        Route("/on-busy-thread", on_busy_thread, methods=METHODS),
        Route("/receiving", receiving, methods=METHODS),
        Route("/streaming", streaming, methods=METHODS),
    ]
)
HANDLERS: Final[dict[str, ASGIApp]] = {
    "/upper": upper,
    "/reading": reading,
    "/writing": writing,
    "/busy": busy,
}


async def routed(scope: Scope, receive: Receive, send: Send) -> None:
    """The handlers, and all else to Starlette."""
    await HANDLERS.get(scope.get("path", ""), starlette)(scope, receive, send)


app: Final = BridgeMiddleware(routed, limits=LIMITS)


async def unwrapped(scope: Scope, receive: Receive, send: Send) -> None:
    """The handlers on their own; the lifespan is that of one of them."""
    await HANDLERS.get(scope.get("path", ""), reading)(scope, receive, send)
