"""A server whose send() waits until the application has room for the disconnect in its queue."""

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from asgi_bridge import BridgeMiddleware
from asgi_bridge.testing import request, scope_for
from asgi_bridge.types import Message

pytestmark = [
    pytest.mark.anyio,
    # Starlette leaves its generators to the collector when a stream breaks off; trio says so
    pytest.mark.filterwarnings("ignore:Async generator .starlette:ResourceWarning"),
]

LIMIT = 5.0  # seconds
QUEUE = 10  # messages, Hypercorn's


async def echo(request: Request) -> StreamingResponse:
    return StreamingResponse(request.stream())


async def test_send_returns_though_the_intake_is_paused() -> None:
    app = BridgeMiddleware(Starlette(routes=[Route("/", echo, methods=["PUT"])]))
    to_app, from_server = anyio.create_memory_object_stream[Message](QUEUE)
    full = anyio.Event()

    async def client() -> None:
        for _ in range(100):
            if to_app.statistics().current_buffer_used == QUEUE:
                full.set()
            await to_app.send(request(b"x" * 16_384, more_body=True))

    told = False

    async def send(message: Message) -> None:
        """Fails as Hypercorn's does: it tells of the disconnect, once, before it returns."""
        nonlocal told
        await full.wait()
        if not told:
            told = True
            await to_app.send({"type": "http.disconnect"})

    with anyio.fail_after(LIMIT), to_app, from_server:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client)
            await app(scope_for(), from_server.receive, send)
            tasks.cancel_scope.cancel()
