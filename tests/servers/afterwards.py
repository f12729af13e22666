"""Applications with something to do after their response, and what they note of it."""

import queue
from collections.abc import AsyncIterator, Iterator
from typing import Final

import anyio
from fastapi import Depends, FastAPI
from fastapi.responses import StreamingResponse
from starlette.background import BackgroundTask
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response as StarletteResponse

from asgi_bridge import BridgeMiddleware, Request, Response, handler
from asgi_bridge.types import Receive, Scope, Send

_noted: Final[queue.SimpleQueue[str]] = queue.SimpleQueue()


@handler
def noted(request: Request, response: Response) -> str:
    """What was noted next, once it is."""
    return _noted.get(timeout=10)


class PassThrough(BaseHTTPMiddleware):
    """Makes two messages of a response that is whole: its body, and its end."""

    async def dispatch(
        self, request: StarletteRequest, call_next: RequestResponseEndpoint
    ) -> StarletteResponse:
        return await call_next(request)


def clean_up() -> Iterator[None]:
    """A dependency that has to be cleaned up."""
    try:
        yield
    finally:
        _noted.put("cleaned up")


app = FastAPI(dependencies=[Depends(clean_up)])


@app.put("/whole")
async def whole() -> StarletteResponse:
    return StarletteResponse(b"Hello", background=BackgroundTask(_noted.put, "background"))


@app.put("/stream")
async def stream(wanted: int = 3) -> StarletteResponse:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(wanted):
            yield b"chunk"
            await anyio.sleep(0.01)

    return StreamingResponse(chunks(), background=BackgroundTask(_noted.put, "background"))


app.add_middleware(PassThrough)
app.add_middleware(BridgeMiddleware)


@BridgeMiddleware
async def parting(scope: Scope, receive: Receive, send: Send) -> None:
    """Says that its response is over when the client has left with all of it."""
    headers = [(b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"Hello", "more_body": True})
    while (await receive())["type"] != "http.disconnect":
        pass
    await send({"type": "http.response.body", "body": b"", "more_body": False})
    _noted.put("afterwards")
