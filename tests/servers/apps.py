"""What the servers run: one application that has all others below the first part of the path."""

import queue
from collections.abc import Iterator, Mapping
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import StreamingResponse
from starlette.routing import Route

from asgi_bridge import BridgeMiddleware, HTTPError, Limits, Request, Response, handler
from asgi_bridge.types import ASGIApp
from examples import (
    bare_asgi,
    csv_to_json_lines,
    digest,
    fastapi_app,
    gzip_body,
    starlette_app,
    upper,
)

from ..mounting import mounted
from . import afterwards


@handler
def refusing(request: Request, response: Response) -> None:
    """Refuses without reading."""
    raise HTTPError(403)


@handler(digest="sha-256")
def digested(request: Request, response: Response) -> Iterator[bytes]:
    """Upper case, with its digest."""
    for chunk in request.body.chunks():
        yield chunk.upper()


@handler
def failing(request: Request, response: Response) -> None:
    """Fails before its first byte."""
    request.body.read()
    raise RuntimeError("failed on purpose")


@handler
def breaking(request: Request, response: Response) -> Iterator[bytes]:
    """Fails after its first byte, when the client has nothing more to send."""
    request.body.read()
    yield b"first"
    raise RuntimeError("broke on purpose")


@handler
def breaking_early(request: Request, response: Response) -> Iterator[bytes]:
    """Fails after its first byte, when the client has much more to send."""
    yield request.body.read1(5)
    raise RuntimeError("broke on purpose")


@handler(limits=Limits(max_body_bytes=100_000))
def limited(request: Request, response: Response) -> bytes:
    """Takes a small body."""
    return request.body.read()


@handler(limits=Limits(drain_timeout=0.2))
def impatient(request: Request, response: Response) -> None:
    """Refuses, and waits for the rest of an upload for a moment only."""
    request.body.read(1)
    raise HTTPError(413)


_met: Final[queue.SimpleQueue[str]] = queue.SimpleQueue()


@handler
def upload(request: Request, response: Response) -> Iterator[bytes]:
    """Says that it reads, reads to the end, and notes what it met there; see `met`."""
    yield b"reading"
    try:
        _met.put(f"{len(request.body.read())} bytes")
    except BaseException as error:
        _met.put(type(error).__name__)
        raise


@handler
def met(request: Request, response: Response) -> str:
    """What an `upload` has met, once there is one that ended."""
    return _met.get(timeout=10)


async def stream(request: StarletteRequest) -> StreamingResponse:
    """What people write, and what loses the body without the bridge."""
    return StreamingResponse(request.stream())


lossy = Starlette(routes=[Route("/", stream, methods=["PUT"])])
cured = Starlette(routes=[Route("/", stream, methods=["PUT"])])
cured.add_middleware(BridgeMiddleware)


APPS: Final[Mapping[str, ASGIApp]] = {
    "afterwards": afterwards.app,
    "bare_asgi": bare_asgi.app,
    "breaking": breaking,
    "breaking_early": breaking_early,
    "csv_to_json_lines": csv_to_json_lines.app,
    "cured": cured,
    "digest": digest.app,
    "digested": digested,
    "failing": failing,
    "fastapi_app": fastapi_app.app,
    "gzip_body": gzip_body.app,
    "impatient": impatient,
    "limited": limited,
    "lossy": lossy,
    "met": met,
    "noted": afterwards.noted,
    "parting": afterwards.parting,
    "refusing": refusing,
    "starlette_app": starlette_app.app,
    "upload": upload,
    "upper": upper.app,
}


app: Final = mounted(APPS)
