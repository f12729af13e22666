"""A receive() that tells the same body whenever it is asked, as of middleware that read it."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from asgi_bridge import BridgeMiddleware, Request, Response, WorkerPool, handler
from asgi_bridge.testing import Exchange, body, request, start
from asgi_bridge.types import ASGIApp, Message, Receive, Scope, Send

from .helpers import settled, taken

pytestmark = pytest.mark.anyio

BODY = b"once more"
MANY = 50_000  # bodies: more than a response that goes out as a whole has room for
ENOUGH = 50  # calls of a receive() that does not suspend, which is many more than anyone needs


class HandsOn:
    """Middleware that has read the body, around an application; counts how often it is told."""

    def __init__(self, app: ASGIApp) -> None:
        self.told = 0
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def again() -> Message:
            self.told += 1
            if self.told > ENOUGH:
                raise AssertionError("the loop's other tasks never had their turn")
            return request(BODY)

        await self._app(scope, again, send)


@contextmanager
def told_at_most(times: int, app: ASGIApp) -> Iterator[ASGIApp]:
    """Middleware that hands on, around `app`."""
    outer = HandsOn(app)
    yield outer
    assert outer.told <= times


async def test_stream_goes_on() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        await send(start())
        for _ in range(10):
            await send(body(message["body"], more_body=True))
        await send(body())

    with told_at_most(3, BridgeMiddleware(app)) as outer:
        assert (await Exchange(outer).run())[-2:] == [body(BODY, more_body=True), body()]


async def test_stream_of_an_app_that_does_not_read_goes_on() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"a", more_body=True))
        await send(body())

    with told_at_most(3, BridgeMiddleware(app)) as outer:
        sent = await Exchange(outer, method="GET").run()
    assert sent == [start(), body(b"a", more_body=True), body()]


async def test_body_is_read_as_often_as_without_the_bridge() -> None:
    told: list[bytes] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(10):
            told.append((await receive())["body"])
        await send(start())
        await send(body())

    with told_at_most(12, BridgeMiddleware(app)) as outer:
        await Exchange(outer).run()
    assert told == [BODY] * 10


def streams(request: Request, response: Response) -> Iterator[bytes]:
    whole = request.body.read()
    for _ in range(MANY):
        yield whole


async def test_stream_of_a_handler_goes_on(pool: WorkerPool) -> None:
    with told_at_most(3, handler(streams, pool=pool)) as outer:
        exchange = Exchange(outer)
        await exchange.run()
    assert (exchange.body, exchange.complete) == (BODY * MANY, True)


async def test_handler_in_line_keeps_its_place() -> None:
    with WorkerPool(size=1) as pool, told_at_most(3, handler(streams, pool=pool)) as outer:
        async with taken(pool) as over:
            async with Exchange(outer) as second:
                await settled()
                assert pool.statistics().ready == 1
                over.take()
    assert (second.body, second.complete) == (BODY * MANY, True)
