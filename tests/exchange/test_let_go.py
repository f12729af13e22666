"""Readers that were let go before, or while, the loop has something for them."""

import threading

import anyio
import pytest

from asgi_bridge import BridgeMiddleware, Limits, ReadTimeout, open_body
from asgi_bridge.crossing.here import current_portal
from asgi_bridge.testing import Exchange, body, start
from asgi_bridge.types import Receive, Scope, Send

from .helpers import WAIT

pytestmark = pytest.mark.anyio


async def test_reader_that_gave_up_before_it_was_connected_harms_nobody() -> None:
    failures: list[Exception] = []
    rung = anyio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"", more_body=True))  # streams, so the body is taken in meanwhile
        await exchange.send_chunk(b"x")
        portal = current_portal()

        def read() -> None:
            reader = open_body(scope)
            try:
                reader.read()
            except ReadTimeout as error:
                failures.append(error)
            portal.post(rung.set)

        thread = threading.Thread(target=read)
        thread.start()
        thread.join(WAIT)  # the loop is held up, so the reader's time runs out
        with anyio.fail_after(WAIT):
            await rung.wait()  # what was posted after it is not lost
        await send(body(b"end", more_body=False))

    limits = Limits(read_timeout=0.01, drain_timeout=0.0)
    exchange = Exchange(BridgeMiddleware(app, limits=limits), method="PUT")
    async with exchange:
        await exchange.expect_start()
        assert await exchange.expect_bytes(3) == b"end"
        await exchange.expect_end()
    assert len(failures) == 1
