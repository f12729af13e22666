"""FastAPI applications that answer with the body of their request."""

from collections.abc import Iterator
from typing import Annotated, Final

from fastapi import Depends, FastAPI, Request
from fastapi.responses import StreamingResponse

from asgi_bridge import BodyReader, BridgeMiddleware, open_body
from asgi_bridge.types import ASGIApp


def reader(request: Request) -> BodyReader:
    """The request's body, for an endpoint that asks for it by its type."""
    return open_body(request)


def cleaned_up(request: Request) -> Iterator[BodyReader]:
    """The same, with something to do after the response."""
    yield open_body(request)


injected = FastAPI()


@injected.put("/")
def echo_injected(body: Annotated[BodyReader, Depends(reader)]) -> StreamingResponse:
    return StreamingResponse(body.chunks())


yielded = FastAPI()


@yielded.put("/")
async def echo_yielded(body: Annotated[BodyReader, Depends(cleaned_up)]) -> StreamingResponse:
    return StreamingResponse(body.chunks())


streaming = FastAPI()
plain: Final = FastAPI()


@plain.put("/")
@streaming.put("/")
async def echo_stream(request: Request) -> StreamingResponse:
    return StreamingResponse(request.stream())


for _app in (injected, yielded, streaming):
    _app.add_middleware(BridgeMiddleware)

APPS: Final[dict[str, ASGIApp]] = {
    "fastapi-injected": injected,
    "fastapi-yielded": yielded,
    "fastapi-stream": streaming,
}

BARE: Final[dict[str, ASGIApp]] = {"fastapi-stream": plain}
