"""A server that never says that a request has no body: nothing waits for what was not announced."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from asgi_bridge import BridgeMiddleware, Limits, Request, Response, WorkerPool, handler
from asgi_bridge.testing import Exchange, body, scope_for, start
from asgi_bridge.types import ASGIApp

from .helpers import Step, joined, sender, settled

pytestmark = pytest.mark.anyio

# What would keep a response back is longer than an exchange may take here.
FOR_EVER = 60.0
MADE_OF: dict[str, dict[str, Any]] = {
    "full duplex": {},
    "half duplex": {"duplex": "half", "read_timeout": FOR_EVER},
}


def pieces(request: Request, response: Response) -> Iterator[bytes]:
    yield b"one"
    yield b"two"


def as_handler(pool: WorkerPool, limits: Limits) -> ASGIApp:
    return handler(pieces, pool=pool, limits=limits)


def as_stream(pool: WorkerPool, limits: Limits) -> ASGIApp:
    parts = (body(b"one", more_body=True), body(b"two", more_body=True), body())
    return BridgeMiddleware(sender(start(), *parts), limits=limits)


@pytest.mark.parametrize("options", MADE_OF.values(), ids=MADE_OF)
@pytest.mark.parametrize("make", [as_handler, as_stream])
@pytest.mark.parametrize(
    ("method", "headers"),
    [("GET", []), ("HEAD", []), ("DELETE", []), ("POST", [(b"content-length", b"0")])],
)
async def test_response_does_not_wait_for_it(
    method: str,
    headers: list[tuple[bytes, bytes]],
    make: Callable[[WorkerPool, Limits], ASGIApp],
    options: dict[str, Any],
    pool: WorkerPool,
) -> None:
    app = make(pool, Limits(drain_timeout=FOR_EVER, message_bytes=3, **options))
    scope = {**scope_for(method=method, headers=headers), "http_version": "2"}
    async with Exchange(app, scope) as exchange:
        await exchange.wait_closed()
    assert exchange.complete
    if method != "HEAD":
        assert exchange.body == b"onetwo"


async def test_worker_does_not_wait_for_it() -> None:
    """It has as much claim to a worker as a request whose body is here."""
    step = Step()

    def held(request: Request, response: Response) -> bytes:
        step.wait()
        return b"held"

    with WorkerPool(size=1) as pool:
        app = handler(held, pool=pool)
        scope = {**scope_for(method="GET"), "http_version": "2"}
        async with Exchange(app, scope) as first, Exchange(app, scope) as second:
            await settled()
            waiting = pool.statistics()
            step.take()
    assert (waiting.ready, waiting.unready) == (1, 0)
    assert (first.body, second.body) == (b"held", b"held")


async def test_what_was_announced_by_its_first_byte_is_drained(pool: WorkerPool) -> None:
    scope = {**scope_for(method="GET"), "http_version": "2"}
    async with Exchange(as_handler(pool, Limits(message_bytes=3)), scope) as exchange:
        await exchange.send_chunk(b"a")
        assert await exchange.expect_bytes(6) == b"onetwo"
        await exchange.until_receiving()
        assert not exchange.complete
        await exchange.end_body()
    assert joined(exchange.sent)[-1] == body(b"onetwo")
    assert exchange.undelivered == 0
