"""open_body on the loop once the response is complete: an error, and never a part as the whole."""

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from asgi_bridge import BridgeMiddleware, ExchangeOver, open_body
from asgi_bridge.testing import request, scope_for
from asgi_bridge.types import Message, Receive, Scope, Send

from .helpers import WAIT

pytestmark = pytest.mark.anyio

WHOLE = [request(b"whole", more_body=False)]
PIECES = [*([request(b"p" * 50_000, more_body=True)] * 3), request(b"p" * 50_000, more_body=False)]


@pytest.mark.parametrize("body", [WHOLE, PIECES], ids=["whole", "drained"])
async def test_body_is_not_to_be_had_after_the_response(body: list[Message]) -> None:
    script = list(body)

    async def receive() -> Message:
        await anyio.lowlevel.checkpoint()
        if not script:
            await anyio.sleep_forever()
        return script.pop(0)

    async def send(message: Message) -> None:
        pass

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with anyio.move_on_after(0):
            await receive()  # as Starlette polls for a disconnect: it takes nothing
        await anyio.lowlevel.checkpoint()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        reader = open_body(scope)
        with pytest.raises(ExchangeOver):
            await anyio.to_thread.run_sync(reader.read)

    size = b"%d" % sum(len(each["body"]) for each in body)
    scope = scope_for(method="PUT", headers=[(b"content-length", size)])
    with anyio.fail_after(WAIT):
        await BridgeMiddleware(app)(scope, receive, send)
