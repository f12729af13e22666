# A collector comes by when it has counted objects, not bytes; and an exchange may hold megabytes.
"""What an exchange held is free as soon as it has ended: no cycle waits for a collector."""

import gc
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from asgi_bridge import (
    BridgeMiddleware,
    HTTPError,
    Limits,
    Request,
    Response,
    WorkerPool,
    handler,
    open_body,
)
from asgi_bridge.crossing.body_channel import BodyChannel
from asgi_bridge.crossing.outlet import Outlet
from asgi_bridge.exchange.conversation import Conversation
from asgi_bridge.exchange.of_application import AppExchange
from asgi_bridge.exchange.of_function import HandlerExchange
from asgi_bridge.intake import Intake
from asgi_bridge.reader import BodyReader
from asgi_bridge.testing import request, scope_for
from asgi_bridge.types import ASGIApp, Message, Receive, Scope, Send

from .helpers import WAIT, settled

pytestmark = pytest.mark.anyio

HELD = (
    *(AppExchange, Conversation, HandlerExchange, Intake, BodyReader, Response, Request),
    *(BodyChannel, Outlet),
)
LIMITS = Limits(abandon_timeout=0.2, drain_timeout=0.1, write_timeout=0.15)


# Applications.


def streams(request: Request, response: Response) -> Iterator[bytes]:
    yield from request.body.chunks()


def reads(request: Request, response: Response) -> bytes:
    return request.body.read()


def ignores(request: Request, response: Response) -> bytes:
    return b"ignored"


def refuses(request: Request, response: Response) -> None:
    raise HTTPError(403)


def raises(request: Request, response: Response) -> None:
    raise RuntimeError("on purpose")


def breaks(request: Request, response: Response) -> Iterator[bytes]:
    yield request.body.read1()
    raise RuntimeError("on purpose")


async def echoes(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message["more_body"]
        await send({"type": "http.response.body", "body": message["body"], "more_body": more})


async def breaks_off(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"some", "more_body": True})
    raise RuntimeError("on purpose")


async def answers(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"some"})


async def opens(scope: Scope, receive: Receive, send: Send) -> None:
    body = await anyio.to_thread.run_sync(lambda: open_body(scope).read())
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


FUNCTIONS = [streams, reads, ignores, refuses, raises, breaks]
APPLICATIONS = [echoes, breaks_off, answers, opens]


@pytest.fixture(params=[*FUNCTIONS, *APPLICATIONS], ids=lambda each: each.__name__)
def served(request: pytest.FixtureRequest) -> Any:
    """A function or an application."""
    return request.param


@pytest.fixture
def app(served: Any, pool: WorkerPool) -> ASGIApp:
    if served in FUNCTIONS:
        blocking: ASGIApp = handler(served, limits=LIMITS, pool=pool)
        return blocking
    return BridgeMiddleware(served, limits=LIMITS)


@pytest.fixture
def headers(served: Any) -> list[tuple[bytes, bytes]]:
    """What announces a body; the short way is for a request without one."""
    return [] if served is answers else [(b"transfer-encoding", b"chunked")]


# A server.


class Server:
    """Has a script for its receive(), and may refuse to send more than the start, or be stuck."""

    def __init__(self, script: list[Message], *, sends: int, stuck: bool = False) -> None:
        self._script = script
        self._sends = sends
        self._stuck = stuck

    async def receive(self) -> Message:
        await anyio.lowlevel.checkpoint()
        if not self._script:
            await anyio.sleep_forever()
        return self._script.pop(0)

    async def send(self, message: Message) -> None:
        await anyio.lowlevel.checkpoint()
        self._sends -= 1
        if self._sends < 0:
            if self._stuck:
                await anyio.sleep_forever()
            raise BrokenPipeError("the client is gone")


CHUNK = request(b"c" * 1000, more_body=True)
LAST = request(b"last", more_body=False)
GONE: Message = {"type": "http.disconnect"}
SERVERS: dict[str, Callable[[], Server]] = {
    "one message": lambda: Server([LAST], sends=1000),
    "chunks": lambda: Server([CHUNK, CHUNK, LAST], sends=1000),
    "disconnect": lambda: Server([CHUNK, GONE], sends=1000),
    "disconnect at once": lambda: Server([GONE], sends=1000),
    "send fails": lambda: Server([CHUNK, CHUNK, LAST], sends=1),
    "send is stuck": lambda: Server([CHUNK, CHUNK, LAST], sends=1, stuck=True),
    "disconnect after all": lambda: Server([CHUNK, LAST, GONE], sends=1000),
}


def settled_thread() -> None:
    """What it did before is no longer in its hands."""


def held() -> list[object]:
    """What there is of ours, and is not frozen."""
    return [each for each in gc.get_objects() if isinstance(each, HELD)]


@pytest.mark.parametrize("kind", SERVERS)
async def test_nothing_is_held_after_the_end(
    app: ASGIApp,
    headers: list[tuple[bytes, bytes]],
    kind: str,
    pool: WorkerPool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # pytest keeps each record, and so the request that it names; other tests have set the level
    caplog.set_level(logging.CRITICAL + 1, logger="asgi_bridge")
    gc.freeze()  # what there is by now is not looked at, which takes most of the time
    gc.disable()
    try:
        server = SERVERS[kind]()
        with suppress(Exception):  # and its frames with it
            await app(scope_for(headers=headers), server.receive, server.send)
        # a thread may have its last job in hand for a moment more; anyio's idle one comes next
        pool.close()
        await anyio.to_thread.run_sync(settled_thread)
        with anyio.fail_after(WAIT):
            await settled()
        assert held() == []
    finally:
        gc.enable()
        gc.unfreeze()
