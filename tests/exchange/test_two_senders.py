"""An application that sends from several tasks: what it sends keeps the order of its calls."""

from typing import Any

import anyio
import pytest

from asgi_bridge import BridgeMiddleware, Limits
from asgi_bridge.testing import Exchange, body, start
from asgi_bridge.types import Message, Receive, Scope, Send

from .helpers import CHUNKED, WAIT, settled

pytestmark = pytest.mark.anyio

FIRST, SECOND, LAST = body(b"1", more_body=True), body(b"2", more_body=True), body(b"3")

# These uploads never end, and nobody waits for that.
NO_DRAIN = Limits(drain_timeout=0)

# What the first body waits for, or may wait for, before the start has gone out with it.
KINDS: dict[str, tuple[list[tuple[bytes, bytes]], dict[str, Any]]] = {
    "the server's send": ([], {}),
    "a 100 that is invited": ([*CHUNKED, (b"expect", b"100-continue")], {}),
    "the upload, in half duplex": (CHUNKED, {"duplex": "half"}),
}


class InOrder:
    """An app that sends each message from a task of its own, while the ones before are under way.

    Attributes:
        scopes: what each task may be cancelled by.
        raised: what each task has met, by its place; None where its send has returned.
    """

    def __init__(self, *messages: Message) -> None:
        self._messages = messages
        self.scopes = [anyio.CancelScope() for _ in messages]
        self.raised: dict[int, Exception | None] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the start, and then all the messages."""
        await send(start())

        async def send_from(place: int) -> None:
            if place + 1 < len(self._messages):
                # it begins once our own send has let go of the loop, and not before
                tasks.start_soon(send_from, place + 1)
            with self.scopes[place]:
                try:
                    await send(self._messages[place])
                    self.raised[place] = None
                except Exception as error:
                    self.raised[place] = error

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send_from, 0)


@pytest.mark.parametrize(("headers", "options"), KINDS.values(), ids=KINDS)
async def test_second_task_does_not_overtake_the_start(
    headers: list[tuple[bytes, bytes]], options: dict[str, Any]
) -> None:
    app = BridgeMiddleware(InOrder(FIRST, SECOND, LAST), limits=Limits(**options))
    async with Exchange(app, headers=headers) as exchange:
        await settled()
        await exchange.end_body()
    assert exchange.sent == [start(), FIRST, SECOND, LAST]


async def test_task_that_is_cancelled_in_line_leaves_it() -> None:
    app = InOrder(FIRST, SECOND, LAST)
    exchange = Exchange(BridgeMiddleware(app, limits=NO_DRAIN))
    exchange.stall_send()
    async with exchange:
        await settled()
        app.scopes[1].cancel()
        await settled()
        exchange.resume_send()
    assert exchange.sent == [start(), FIRST, LAST]
    assert app.raised == {0: None, 2: None}


async def test_task_that_is_cancelled_when_its_turn_comes_passes_it_on() -> None:
    app = InOrder(FIRST, SECOND, LAST)

    async def cancelling(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_and_cancel(message: Message) -> None:
            await send(message)
            if message == FIRST:
                app.scopes[1].cancel()  # its turn comes now, before it runs

        await BridgeMiddleware(app, limits=NO_DRAIN)(scope, receive, send_and_cancel)

    async with Exchange(cancelling) as exchange:
        await exchange.wait_closed()
    assert exchange.sent == [start(), FIRST, LAST]
    assert app.raised == {0: None, 2: None}


async def test_client_that_leaves_lets_all_of_them_go() -> None:
    app = InOrder(FIRST, SECOND, LAST)

    async def stuck(scope: Scope, receive: Receive, send: Send) -> None:
        async def stuck_send(message: Message) -> None:
            if message == SECOND:
                await anyio.sleep_forever()
            await send(message)

        await BridgeMiddleware(app)(scope, receive, stuck_send)

    async with Exchange(stuck) as exchange:
        await settled()
        exchange.disconnect()
        await exchange.wait_closed()
    assert exchange.sent == [start(), FIRST]
    assert list(app.raised.values()) == [None] * 3  # as on every server of today


HINT: Message = {"type": "http.response.early_hint", "links": []}


async def test_message_that_is_stuck_before_the_start_holds_up_nobody() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_hint() -> None:
            await send(HINT)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send_hint)
            await settled()
            for message in (start(), FIRST, LAST):
                await send(message)
            tasks.cancel_scope.cancel()

    async def stuck(scope: Scope, receive: Receive, send: Send) -> None:
        async def stuck_send(message: Message) -> None:
            if message == HINT:
                await anyio.sleep_forever()
            await send(message)

        await BridgeMiddleware(app)(scope, receive, stuck_send)

    assert await Exchange(stuck).run() == [start(), FIRST, LAST]


async def test_task_in_line_goes_on_when_the_exchange_has_ended() -> None:
    sent = anyio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_first() -> None:
            await send(FIRST)

        async def send_second() -> None:
            await send(SECOND)
            sent.set()

        await send(start())
        tasks.start_soon(send_first)
        await settled()
        tasks.start_soon(send_second)
        await settled()
        raise ValueError("on purpose")

    async def stuck(scope: Scope, receive: Receive, send: Send) -> None:
        async def stuck_send(message: Message) -> None:
            if message != SECOND:
                await anyio.sleep_forever()

        await BridgeMiddleware(app)(scope, receive, stuck_send)

    async with anyio.create_task_group() as tasks:  # not the application's own
        async with Exchange(stuck) as exchange:
            await exchange.wait_closed()
        with anyio.fail_after(WAIT):
            await sent.wait()
        tasks.cancel_scope.cancel()
