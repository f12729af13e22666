"""What becomes of the task that a server calls an application in, on asyncio."""

import asyncio
from contextlib import suppress
from typing import Any

import anyio
import anyio.to_thread
import pytest

from asgi_bridge import (
    BridgeMiddleware,
    ExchangeOver,
    Limits,
    Request,
    Response,
    WorkerPool,
    handler,
    open_body,
)
from asgi_bridge.crossing.asyncio_portal import _go_on
from asgi_bridge.testing import body, request, scope_for, start
from asgi_bridge.types import ASGIApp, Message, Receive, Scope, Send

from .helpers import WAIT


class Server:
    """A server whose client sends one chunk, and nothing more until `more` is set."""

    def __init__(self, *, deaf: bool = False) -> None:
        self.messages = [request(b"a", more_body=True)]
        self.sent: list[Message] = []
        self._deaf = deaf

    async def receive(self) -> Message:
        if self.messages:
            return self.messages.pop()
        try:
            await anyio.sleep_forever()
        except asyncio.CancelledError:
            if not self._deaf:
                raise
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)


def answering(pool: WorkerPool) -> ASGIApp:
    """A handler that answers without reading."""

    @handler(pool=pool, limits=Limits(drain_timeout=0))
    def answer(request: Request, response: Response) -> bytes:
        return b"done"

    return answer


def test_task_that_was_cancelled_before_is_not_cancelled_again(pool: WorkerPool) -> None:
    server = Server()

    async def serve() -> int:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)  # and went on, as some middleware does
        async with asyncio.timeout(WAIT):
            await answering(pool)(scope_for(), server.receive, server.send)
        return task.cancelling()

    assert asyncio.run(serve()) == 1
    assert server.sent[-1]["body"] == b"done"


def test_receive_that_hears_no_cancellation_leaves_none_behind(pool: WorkerPool) -> None:
    server = Server(deaf=True)

    async def serve() -> int:
        task = asyncio.current_task()
        assert task is not None
        async with asyncio.timeout(WAIT):
            await answering(pool)(scope_for(), server.receive, server.send)
        return task.cancelling()

    assert asyncio.run(serve()) == 0
    assert server.sent[-1]["body"] == b"done"


def eager(loop: asyncio.AbstractEventLoop, coroutine: Any, **_: Any) -> "asyncio.Future[None]":
    """A factory of tasks that do their first step at once, for Python 3.11."""
    future: asyncio.Future[None] = loop.create_future()
    try:
        yielded = coroutine.send(None)
    except StopIteration:
        future.set_result(None)
        return future

    async def go_on() -> None:
        await _go_on(coroutine, yielded)

    return asyncio.Task(go_on(), loop=loop)


def test_disconnect_is_heard_of_where_tasks_are_eager() -> None:
    messages: list[Message] = [{"type": "http.disconnect"}, request(b"a")]

    async def receive() -> Message:
        return messages.pop()

    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(2):
            seen.append((await receive())["type"])

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        # Python 3.12 has one of its own, and 3.13 wants a factory's tasks to have names
        factory: Any = getattr(asyncio, "eager_task_factory", eager)
        loop.set_task_factory(factory)
        async with asyncio.timeout(WAIT):
            await BridgeMiddleware(app)(scope_for(), receive, Server().send)

    asyncio.run(serve())
    assert seen == ["http.request", "http.disconnect"]


def test_reader_is_told_when_receive_ends_by_a_cancellation_of_its_own() -> None:
    async def receive() -> Message:
        raise asyncio.CancelledError  # something in the server was cancelled

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(ExchangeOver):
            await anyio.to_thread.run_sync(lambda: open_body(scope).read())
        await send(start())
        await send(body(b"over", more_body=False))

    server = Server()

    async def serve() -> None:
        limits = Limits(read_timeout=WAIT)
        await BridgeMiddleware(app, limits=limits)(scope_for(), receive, server.send)

    asyncio.run(serve())
    assert server.sent[-1]["body"] == b"over"
