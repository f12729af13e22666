"""A server that says late, or never, that a request has no body: nothing waits for it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from asgi_bridge import BridgeMiddleware, Limits, Request, Response, WorkerPool, handler
from asgi_bridge.testing import Exchange, body, scope_for, start
from asgi_bridge.types import ASGIApp, Scope

from .helpers import CHUNKED, Step, joined, sender, settled

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


UNANNOUNCED: dict[str, tuple[str, str, list[tuple[bytes, bytes]]]] = {
    "a GET": ("GET", "1.1", []),
    "a GET, HTTP/1.0": ("GET", "1.0", []),
    "a POST of no bytes": ("POST", "1.1", [(b"content-length", b"0")]),
    "a GET, HTTP/2": ("GET", "2", []),
}


def unannounced(method: str, version: str, headers: list[tuple[bytes, bytes]]) -> Scope:
    return {**scope_for(method=method, headers=headers), "http_version": version}


each_unannounced = pytest.mark.parametrize("head", UNANNOUNCED.values(), ids=UNANNOUNCED)


@each_unannounced
async def test_worker_does_not_wait_for_it(
    head: tuple[str, str, list[tuple[bytes, bytes]]],
) -> None:
    """It has as much claim to a worker as a request whose body is here."""
    step = Step()

    def held(request: Request, response: Response) -> bytes:
        step.wait()
        return b"held"

    with WorkerPool(size=1) as pool:
        app = handler(held, pool=pool, limits=Limits(drain_timeout=0))
        scope = unannounced(*head)
        async with Exchange(app, scope) as first, Exchange(app, scope) as second:
            await settled()
            waiting = pool.statistics()
            step.take()
    assert (waiting.ready, waiting.unready) == (1, 0)
    assert (first.body, second.body) == (b"held", b"held")


@each_unannounced
async def test_stalled_uploads_do_not_have_it_refused(
    head: tuple[str, str, list[tuple[bytes, bytes]]],
) -> None:
    with WorkerPool(size=2, backlog=1) as pool:
        app = handler(lambda request, response: request.body.read() or b"none", pool=pool)
        async with (
            Exchange(app, headers=CHUNKED) as at_work,
            Exchange(app, headers=CHUNKED) as last,
        ):
            await settled()
            assert pool.statistics().unready == pool.backlog
            exchange = Exchange(app, unannounced(*head))
            await exchange.run()
            for stalled in (at_work, last):
                await stalled.end_body()
    assert (exchange.status, exchange.body) == (200, b"none")


async def test_post_whose_length_was_taken_away_may_have_a_body_that_stalls() -> None:
    """Something in between that decompresses, for example, cannot know it any more."""
    with WorkerPool(size=2) as pool:
        app = handler(lambda request, response: request.body.read() or b"none", pool=pool)
        scope = scope_for(method="POST")
        async with Exchange(app, scope) as first, Exchange(app, scope) as second:
            await settled()
            waiting = pool.statistics()
            for stalled in (first, second):
                await stalled.end_body()
    assert (waiting.busy, waiting.unready) == (1, 1)


@each_unannounced
async def test_what_comes_unannounced_is_read(
    head: tuple[str, str, list[tuple[bytes, bytes]]], pool: WorkerPool
) -> None:
    app = handler(lambda request, response: request.body.read(), pool=pool)
    async with Exchange(app, unannounced(*head)) as exchange:
        await settled()
        await exchange.send_chunk(b"a")
        await settled()
        await exchange.end_body(b"b")
    assert exchange.body == b"ab"


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
