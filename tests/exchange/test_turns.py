"""A server whose receive() never suspends: other tasks have their turns all the same."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
import anyio.lowlevel
import pytest

from asgi_bridge import BridgeMiddleware, Limits, WorkerPool, handler
from asgi_bridge.testing import Exchange, body, request, scope_for, start
from asgi_bridge.types import ASGIApp, Message

from .helpers import CHUNKED, WAIT, raiser, sender

pytestmark = pytest.mark.anyio

# 200 messages of 64 KiB are 50 turns, and 200 empty ones three.
MESSAGES = 200


class Upload:
    """What a server has of a request, all of it already.

    Attributes:
        received: messages of it that the application was given.
        turns: how many these were, each time that another task ran.
    """

    def __init__(self, size: int) -> None:
        self._chunk = bytes(size)
        self.received = 0
        self.turns: list[int] = []

    async def receive(self) -> Message:
        """The server's receive(), which returns at once."""
        if self.received == MESSAGES:
            await anyio.sleep_forever()
        self.received += 1
        return request(self._chunk, more_body=self.received < MESSAGES)

    async def send(self, message: Message) -> None:
        """The server's send(), likewise."""

    @asynccontextmanager
    async def noting_turns(self) -> AsyncIterator[None]:
        """Have another task run; until all has been received, once the block is over."""

        async def other() -> None:
            while self.received < MESSAGES:
                await anyio.lowlevel.checkpoint()
                self.turns.append(self.received)

        with anyio.fail_after(WAIT):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(other)
                yield

    @property
    def had_turns(self) -> bool:
        """Whether the other task ran in the midst of it, and again after some more of it."""
        return len({at for at in self.turns if 0 < at < MESSAGES}) >= 2


LIMITS = Limits(drain_timeout=WAIT)
TOO_LONG = Limits(drain_timeout=WAIT, max_body_bytes=1)
APPS: dict[str, ASGIApp] = {
    "drained": BridgeMiddleware(sender(start(413), body(b"no")), limits=LIMITS),
    "refused": BridgeMiddleware(sender(start(), body(b"no")), limits=TOO_LONG),
    "swept": BridgeMiddleware(
        raiser(ValueError("on purpose"), start(), body(b"a", more_body=True)), limits=LIMITS
    ),
}


@pytest.mark.parametrize("size", [0, 64 * 1024], ids=["empty", "large"])
@pytest.mark.parametrize("app", APPS.values(), ids=APPS)
async def test_upload_that_is_thrown_away_leaves_turns_to_others(app: ASGIApp, size: int) -> None:
    upload = Upload(size)
    async with upload.noting_turns():
        with suppress(ValueError):
            await app(scope_for(headers=CHUNKED), upload.receive, upload.send)
    assert upload.had_turns


async def test_upload_that_a_handler_reads_leaves_turns_to_others(pool: WorkerPool) -> None:
    upload = Upload(0)
    app = handler(lambda request, response: request.body.read() or b"none", pool=pool)
    async with upload.noting_turns():
        await app(scope_for(headers=CHUNKED), upload.receive, upload.send)
    assert upload.had_turns


async def test_message_without_a_rule_may_have_any_body(pool: WorkerPool) -> None:
    unknown: Message = {"type": "http.request.unknown", "body": None}
    app = handler(lambda request, response: request.body.read(), pool=pool)
    async with Exchange(app, headers=CHUNKED) as exchange:
        await exchange.send_message(unknown)
        await exchange.end_body(b"a")
    assert exchange.body == b"a"


async def test_draining_is_bounded_although_nothing_suspends() -> None:
    """Its bounds are looked at by another task than takes the upload in."""
    upload = Upload(64 * 1024)
    limits = Limits(drain_bytes=1, abandon_timeout=0)
    app = BridgeMiddleware(sender(start(413), body(b"no")), limits=limits)
    await app(scope_for(headers=CHUNKED), upload.receive, upload.send)
    assert upload.received < MESSAGES
