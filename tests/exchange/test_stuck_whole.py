"""A response in one message whose send() never returns."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from asgi_bridge import (
    BridgeMiddleware,
    HTTPError,
    Limits,
    Request,
    Response,
    TotalTimeout,
    WorkerPool,
    WriteTimeout,
    handler,
)
from asgi_bridge.testing import body, request, scope_for, start
from asgi_bridge.types import ASGIApp, Message, Receive, Scope, Send

pytestmark = pytest.mark.anyio

SOON = 0.05  # seconds
LIMIT = 5.0
PATIENT = Limits(write_timeout=SOON)


def done(request: Request, response: Response) -> bytes:
    return b"done"


def refuse(request: Request, response: Response) -> bytes:
    raise HTTPError(403)


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await send(start())
    await send(body(b"hello", more_body=False))


async def silent(scope: Scope, receive: Receive, send: Send) -> None:
    await send(start(204))


async def run_stuck(app: ASGIApp) -> None:
    """Run an exchange on a server that never has room for a response."""

    async def receive() -> Message:
        return request(b"")

    async def send(message: Message) -> None:
        await anyio.sleep_forever()

    with anyio.fail_after(LIMIT):
        await app(scope_for(), receive, send)


@pytest.mark.parametrize("function", [done, refuse])
async def test_handlers_send_ends_with_the_write_timeout(
    function: Callable[[Request, Response], Any], pool: WorkerPool
) -> None:
    with pytest.raises(WriteTimeout):
        await run_stuck(handler(function, pool=pool, limits=PATIENT))
    assert pool.statistics().busy == 0


async def test_handlers_send_ends_with_the_total_timeout(pool: WorkerPool) -> None:
    with pytest.raises(TotalTimeout):
        await run_stuck(handler(done, pool=pool, limits=Limits(total_timeout=SOON)))


@pytest.mark.parametrize("app", [hello, silent])
async def test_applications_send_ends_with_the_write_timeout(app: ASGIApp) -> None:
    with pytest.raises(WriteTimeout):
        await run_stuck(BridgeMiddleware(app, limits=PATIENT))


async def test_handler_inside_the_middleware_ends_with_the_write_timeout(pool: WorkerPool) -> None:
    with pytest.raises(WriteTimeout):
        await run_stuck(BridgeMiddleware(handler(done, pool=pool, limits=PATIENT), limits=PATIENT))
    assert pool.statistics().busy == 0


async def read_first(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await hello(scope, receive, send)


@pytest.mark.parametrize("kind", ["short", "not short", "handler"])
async def test_timeout_of_an_exchange_around_ours_is_not_taken_for_a_disconnect(
    kind: str, pool: WorkerPool
) -> None:
    """It is an OSError, too, and comes out of the same send."""
    apps: dict[str, ASGIApp] = {
        "short": BridgeMiddleware(hello),
        "not short": BridgeMiddleware(read_first),
        "handler": handler(done, pool=pool),
    }

    async def receive() -> Message:
        return request(b"")

    async def send(message: Message) -> None:
        raise WriteTimeout("of the one around")

    with anyio.fail_after(LIMIT), pytest.raises(WriteTimeout, match="of the one around"):
        await apps[kind](scope_for(), receive, send)


@pytest.mark.parametrize("app", [hello, silent])
async def test_send_that_waits_and_returns_is_no_failure(app: ASGIApp) -> None:
    sent = list[str]()

    async def receive() -> Message:
        return request(b"")

    async def send(message: Message) -> None:
        await anyio.lowlevel.checkpoint()
        sent.append(message["type"])

    with anyio.fail_after(LIMIT):
        await BridgeMiddleware(app, limits=PATIENT)(scope_for(), receive, send)
        await anyio.lowlevel.checkpoint()  # a cancellation that was left over would come here
    assert sent == ["http.response.start", "http.response.body"]
