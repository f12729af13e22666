"""A failed exchange whose client goes on sending: the server must come to cut it."""

import logging
from collections.abc import AsyncIterator, Callable, Iterator

import anyio
import anyio.lowlevel
import pytest

from asgi_bridge import BridgeMiddleware, Limits, Request, Response, WorkerPool, handler
from asgi_bridge.testing import request, scope_for
from asgi_bridge.types import ASGIApp, Message, Receive, Scope, Send

from .helpers import CHUNKED, WAIT, settled, tasks_living

pytestmark = pytest.mark.anyio

QUEUE = 10  # messages, Hypercorn's
CHUNK = b"x" * 16_384
EXPECT = [*CHUNKED, (b"expect", b"100-continue")]


class OnPurpose(Exception):
    """What the applications here raise."""


def failing_handler(pool: WorkerPool, limits: Limits) -> ASGIApp:
    def fail(request: Request, response: Response) -> Iterator[bytes]:
        yield request.body.read1()
        raise OnPurpose

    return handler(fail, pool=pool, limits=limits)


def failing_application(pool: WorkerPool, limits: Limits) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"some", "more_body": True})
        raise OnPurpose

    return BridgeMiddleware(app, limits=limits)


def failing_handler_in_an_application(pool: WorkerPool, limits: Limits) -> ASGIApp:
    return BridgeMiddleware(failing_handler(pool, limits), limits=limits)


MAKERS = [failing_handler, failing_application, failing_handler_in_an_application]


class Server:
    """Has a queue for the application, and puts the disconnect there before it cuts."""

    def __init__(self) -> None:
        self._to_app, self._from_server = anyio.create_memory_object_stream[Message](QUEUE)
        self._full = anyio.Event()
        self.receives = 0
        self.let_go = anyio.Event()  # a receive() was cancelled

    async def receive(self) -> Message:
        self.receives += 1
        try:
            return await self._from_server.receive()
        except anyio.get_cancelled_exc_class():
            self.let_go.set()
            raise

    async def send(self, message: Message) -> None:
        await anyio.lowlevel.checkpoint()

    async def tell(self, message: Message) -> None:
        """Wait for room in the queue, whoever is left to make some."""
        await self._to_app.send(message)

    def tells_no_more(self) -> None:
        """Its receive() fails from now on, once the queue is empty."""
        self._to_app.close()

    async def upload(self) -> None:
        """What its task does that reads the connection."""
        while True:
            if self._to_app.statistics().current_buffer_used == QUEUE:
                self._full.set()
            await self.tell(request(CHUNK, more_body=True))

    async def serve(self, app: ASGIApp, *, headers: list[tuple[bytes, bytes]]) -> None:
        with pytest.raises(OnPurpose):
            await app(scope_for(headers=headers), self.receive, self.send)

    async def serve_an_upload(self, app: ASGIApp) -> None:
        """Have it fail while its client sends on and on, and tell of the disconnect."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.upload)
            await self._full.wait()
            await self.serve(app, headers=CHUNKED)
            await self.tell({"type": "http.disconnect"})
            tasks.cancel_scope.cancel()

    def close(self) -> None:
        self._to_app.close()
        self._from_server.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.mark.parametrize("make", MAKERS)
async def test_the_server_comes_to_cut_it(
    make: Callable[[WorkerPool, Limits], ASGIApp], server: Server, pool: WorkerPool
) -> None:
    before = tasks_living()
    with anyio.fail_after(WAIT):
        await server.serve_an_upload(make(pool, Limits()))
        await settled()
    assert tasks_living() == before


async def test_a_server_that_tells_of_no_end_is_left_in_time(
    server: Server, pool: WorkerPool
) -> None:
    app = failing_application(pool, Limits(abandon_timeout=0.05))
    with anyio.fail_after(WAIT):
        await server.tell(request(CHUNK, more_body=True))
        await server.serve(app, headers=CHUNKED)
        await server.let_go.wait()


async def test_what_receive_raises_then_is_nobodys_business(
    server: Server, pool: WorkerPool, caplog: pytest.LogCaptureFixture
) -> None:
    before = tasks_living()
    with anyio.fail_after(WAIT):
        await server.tell(request(CHUNK, more_body=True))
        server.tells_no_more()
        await server.serve(failing_application(pool, Limits()), headers=CHUNKED)
        await settled()
    assert tasks_living() == before
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


async def test_what_was_not_invited_is_not_asked_for(server: Server) -> None:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 403, "headers": []})
        await send({"type": "http.response.body", "body": b"some", "more_body": True})
        raise OnPurpose

    with anyio.fail_after(WAIT):
        await server.serve(BridgeMiddleware(refuse), headers=EXPECT)
        await settled()
    assert server.receives == 0
