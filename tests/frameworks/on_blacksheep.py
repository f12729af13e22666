"""BlackSheep handlers that answer with the body of their request."""

from collections.abc import AsyncIterator
from typing import Final

from blacksheep import Application, Request, Response, Router, StreamedContent

from asgi_bridge import BridgeMiddleware, iterate_in_worker, open_body
from asgi_bridge.types import ASGIApp

TYPE: Final = b"application/octet-stream"

app: Final = Application(router=Router())  # the shared one is the recipe's


@app.router.put("/open-body")
async def opened(request: Request) -> Response:
    body = open_body(request)

    async def chunks() -> AsyncIterator[bytes]:
        async for chunk in iterate_in_worker(body.chunks()):
            yield chunk

    return Response(200, content=StreamedContent(TYPE, chunks))


@app.router.put("/stream")
async def stream(request: Request) -> Response:
    """BlackSheep's own way."""

    async def chunks() -> AsyncIterator[bytes]:
        async for chunk in request.stream():  # type: ignore[attr-defined]  # its stub is wrong
            if chunk:  # an empty one would end the response
                yield chunk

    return Response(200, content=StreamedContent(TYPE, chunks))


wrapped: Final = BridgeMiddleware(app)

APPS: Final[dict[str, ASGIApp]] = {
    "blacksheep/open-body": wrapped,
    "blacksheep/stream": wrapped,
}

BARE: Final[dict[str, ASGIApp]] = {"blacksheep/stream": app}
