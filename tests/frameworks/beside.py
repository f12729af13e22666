"""A Starlette application with what is not a streamed body: files, sockets, state."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypedDict

from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from asgi_bridge import BridgeMiddleware

FILE: Final = Path(__file__)
REFUSAL: Final = "not here"


class State(TypedDict):
    """What the lifespan has made."""

    made: str


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[State]:
    yield {"made": "by the lifespan"}


async def file(request: Request) -> Response:
    return FileResponse(FILE)


class Stated(HTTPEndpoint):
    async def get(self, request: Request) -> Response:
        return PlainTextResponse(request.state.made)


async def echo(socket: WebSocket) -> None:
    """What the lifespan has made, and then whatever comes."""
    await socket.accept(subprotocol=socket.scope["subprotocols"][0])
    await socket.send_text(socket.state.made)
    async for chunk in socket.iter_bytes():
        await socket.send_bytes(chunk)


async def refuse(socket: WebSocket) -> None:
    await socket.send_denial_response(PlainTextResponse(REFUSAL, 418))


app: Final = Starlette(
    routes=[
        Route("/file", file, methods=["GET", "HEAD", "PUT"]),
        Route("/state", Stated),
        WebSocketRoute("/echo", echo),
        WebSocketRoute("/refuse", refuse),
    ],
    lifespan=lifespan,
)
app.add_middleware(BridgeMiddleware)
