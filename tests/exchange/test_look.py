"""A short answer whose send has to wait: before somebody has looked at it, and after."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asgi_bridge import (
    BridgeMiddleware,
    ExchangeStats,
    Limits,
    Outcome,
    Request,
    Response,
    ResponseOrderError,
    ServerShutdown,
    WorkerPool,
    WriteTimeout,
    handler,
)
from asgi_bridge.crossing.here import current_portal
from asgi_bridge.testing import body, request, scope_for, start
from asgi_bridge.types import ASGIApp, Message, Receive, Scope, Send

from .helpers import WAIT, Step, settled

pytestmark = pytest.mark.anyio

HEAD = start(200, [(b"content-length", b"5")])
BODY = body(b"hello")


def nothing() -> None:
    """Nobody has looked yet."""


def look() -> None:
    current_portal().shutdown.look()


looked = pytest.mark.parametrize("look", [nothing, look], ids=["before", "after"])


class Waits:
    """A server whose first send says that it waits, and waits until it may go on."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.waits, self.go_on = anyio.Event(), anyio.Event()
        self.sent: list[Message] = []
        self._failure = failure

    async def receive(self) -> Message:
        return request()

    async def send(self, message: Message) -> None:
        if not self.waits.is_set():
            self.waits.set()
            await self.go_on.wait()
            if self._failure is not None:
                raise self._failure
        self.sent.append(message)


class Told:
    """An application that answers, and keeps what its last send came to."""

    def __init__(self) -> None:
        self.met: BaseException | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(HEAD)
        try:
            await send(BODY)
        except BaseException as error:
            self.met = error
            raise


async def served(
    app: ASGIApp, server: Waits, meanwhile: Callable[[], Any], **how: Any
) -> list[Outcome]:
    """Serve a request; call something while the send waits, and then let it go on."""
    outcomes = list[Outcome]()

    def end(stats: ExchangeStats) -> None:
        outcomes.append(stats.outcome)

    bridged = BridgeMiddleware(app, on_exchange_end=end, **how)
    with anyio.fail_after(WAIT):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bridged, scope_for(method="GET"), server.receive, server.send)
            await server.waits.wait()
            meanwhile()
            server.go_on.set()
    return outcomes


@looked
async def test_it_goes_on(look: Callable[[], None]) -> None:
    app, server = Told(), Waits()
    assert await served(app, server, look) == [Outcome.COMPLETE]
    assert (app.met, server.sent) == (None, [HEAD, BODY])


@looked
async def test_client_that_has_left_meanwhile(look: Callable[[], None]) -> None:
    left = BrokenPipeError("the client is gone")
    app, server = Told(), Waits(left)
    assert await served(app, server, look) == [Outcome.CLIENT_GONE]
    assert app.met is left


@looked
async def test_cancellation_by_others_is_theirs(look: Callable[[], None]) -> None:
    app, server, over = Told(), Waits(), Step()

    async def cancelled(scope: Scope, receive: Receive, send: Send) -> None:
        with anyio.CancelScope() as self_made:
            cancels.append(self_made.cancel)
            await app(scope, receive, send)
        over.take()
        await anyio.lowlevel.checkpoint()  # one that was left over would come here

    def cancel() -> None:
        look()
        cancels[0]()

    cancels = list[Callable[[], None]]()
    limits = Limits(write_timeout=0.01)
    assert await served(cancelled, server, cancel, limits=limits) == [Outcome.FAILED]
    assert over.taken
    assert isinstance(app.met, anyio.get_cancelled_exc_class())


@looked
@pytest.mark.parametrize("failure", [None, BrokenPipeError("the client is gone")])
async def test_somebody_else_sends_meanwhile(
    look: Callable[[], None], failure: OSError | None
) -> None:
    server, told = Waits(failure), Told()
    met = list[BaseException]()

    async def second(send: Send) -> None:
        await server.waits.wait()
        try:
            await send(BODY)
        except ResponseOrderError as error:
            met.append(error)
        look()
        server.go_on.set()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(second, send)
            try:
                await told(scope, receive, send)
            except BrokenPipeError:
                pass

    with anyio.fail_after(WAIT):
        await BridgeMiddleware(app)(scope_for(method="GET"), server.receive, server.send)
    assert [type(each) for each in met] == [ResponseOrderError]
    assert server.sent == ([HEAD, BODY] if failure is None else [])


class Stuck(Waits):
    """One whose send calls something, and then never returns."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        super().__init__()
        self._meanwhile = meanwhile

    async def send(self, message: Message) -> None:
        self.waits.set()
        self._meanwhile()
        await anyio.sleep_forever()


async def test_nobody_needs_to_look_for_the_write_timeout() -> None:
    app = Told()
    with pytest.raises(ExceptionGroup) as group:
        await served(app, Stuck(nothing), nothing, limits=Limits(write_timeout=0.01))
    assert group.group_contains(WriteTimeout)
    assert isinstance(app.met, WriteTimeout)


@pytest.mark.parametrize("look_first", [True, False])
async def test_it_is_one_of_two_that_wait(look_first: bool) -> None:
    """The other is of a message without a rule; nobody is left waiting."""
    met = list[type[BaseException]]()

    async def debug(send: Send) -> None:
        try:
            await send({"type": "http.response.debug", "info": {}})
        except WriteTimeout as error:
            met.append(type(error))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer, send)
            await server.waits.wait()
            if look_first:
                look()
            tasks.start_soon(debug, send)
            await settled()
            look()

    async def answer(send: Send) -> None:
        try:
            await Told()({}, server.receive, send)
        except WriteTimeout as error:
            met.append(type(error))

    server = Stuck(nothing)
    with anyio.fail_after(WAIT):
        bridged = BridgeMiddleware(app, limits=Limits(write_timeout=0.05))
        await bridged(scope_for(method="GET"), server.receive, server.send)
    assert met == [WriteTimeout, WriteTimeout]


async def read_first(scope: Scope, receive: Receive, send: Send) -> None:
    """An answer that is not short, from the beginning."""
    await receive()
    await Told()(scope, receive, send)


def done(asked: Request, response: Response) -> bytes:
    return b"hello"


@looked
@pytest.mark.parametrize("kind", ["short", "not short", "handler"])
async def test_shutdown_lets_it_go(kind: str, look: Callable[[], None], pool: WorkerPool) -> None:
    """Although it comes when nobody knows yet that the send waits."""

    def shut_down() -> None:
        look()
        shutdown.close()

    apps: dict[str, ASGIApp] = {
        "short": BridgeMiddleware(Told()),
        "not short": BridgeMiddleware(read_first),
        "handler": handler(done, pool=pool),
    }
    shutdown = current_portal().shutdown
    shutdown.open(listen=False)
    server = Stuck(shut_down)
    with anyio.fail_after(WAIT), suppress(ServerShutdown):
        await apps[kind](scope_for(method="GET"), server.receive, server.send)
    assert (server.waits.is_set(), server.sent) == (True, [])


def test_cancellation_that_is_under_way_is_not_taken_for_ours() -> None:
    """A server that cancels an exchange and ends its lifespan in the same turn; on asyncio."""

    async def serve() -> tuple[bool, int]:
        shutdown = current_portal().shutdown
        shutdown.open(listen=False)
        server = Stuck(nothing)
        exchange = BridgeMiddleware(Told())(scope_for(method="GET"), server.receive, server.send)
        task = asyncio.ensure_future(exchange)
        await server.waits.wait()
        task.cancel()
        shutdown.close()
        await asyncio.wait({task}, timeout=WAIT)
        return task.cancelled(), task.cancelling()

    assert asyncio.run(serve()) == (True, 1)


def test_send_that_shuts_down_and_returns_leaves_no_cancellation_behind() -> None:
    class ShutsDown(Waits):
        async def send(self, message: Message) -> None:
            self.sent.append(message)
            if len(self.sent) == 2:
                current_portal().shutdown.close()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Told()(scope, receive, send)
        await asyncio.sleep(0)  # here it would come

    async def serve() -> list[Message]:
        current_portal().shutdown.open(listen=False)
        server = ShutsDown()
        await BridgeMiddleware(app)(scope_for(method="GET"), server.receive, server.send)
        return server.sent

    assert asyncio.run(serve()) == [HEAD, BODY]
