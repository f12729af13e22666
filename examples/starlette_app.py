"""Starlette: a handler mounted beside routes, and the bridge around them all.

Run it and try it:

    asgi-bridge serve examples/starlette_app.py:app
    curl -T README.md http://127.0.0.1:8000/reversed/
    curl -T README.md http://127.0.0.1:8000/echo
    curl -T README.md http://127.0.0.1:8000/size
"""

from collections.abc import Iterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route

import asgi_bridge as bridge
from asgi_bridge import BridgeMiddleware, handler


@handler
def reversed_lines(request: bridge.Request, response: bridge.Response) -> Iterator[bytes]:
    """A blocking function on threads of its own: each line back to front."""
    for line in request.body:
        yield line.removesuffix(b"\n")[::-1] + b"\n"


async def echo(request: Request) -> StreamingResponse:
    """The body as it comes; safe because the bridge is around it."""
    return StreamingResponse(request.stream())


async def size(request: Request) -> PlainTextResponse:
    """A route that wants nothing of the bridge works as it did without it."""
    return PlainTextResponse(f"{len(await request.body())}\n")


app = Starlette(
    routes=[
        Mount("/reversed", app=reversed_lines),
        Route("/echo", echo, methods=["PUT"]),
        Route("/size", size, methods=["PUT"]),
    ]
)
app.add_middleware(BridgeMiddleware)
