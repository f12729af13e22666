"""BridgeMiddleware: what an application receives that reads its body itself."""

from collections.abc import AsyncIterator, Awaitable, Callable

import anyio
import anyio.lowlevel
import pytest

from asgi_bridge import BridgeMiddleware, Limits
from asgi_bridge.intake.sinks import MESSAGE_COST
from asgi_bridge.testing import DISCONNECT, Exchange, Scripted, body, request, start
from asgi_bridge.types import ASGIApp, Message, Receive, Scope, Send

from .helpers import Step, settled

pytestmark = pytest.mark.anyio

GONE: Message = {"type": "http.disconnect"}


class Collector:
    """An app that receives so many messages, then answers.

    Attributes:
        came: the messages, and what receive() raised.
    """

    def __init__(self, count: int) -> None:
        self.came: list[Message | str] = []
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(self._count):
            try:
                self.came.append(await receive())
            except LookupError as error:
                self.came.append(str(error))
        if GONE not in self.came:
            await send(start())
            await send(body())


@pytest.mark.parametrize(
    "script",
    [
        [request(b"abc")],
        [request(b"a", more_body=True), request(b"", more_body=True), request(b"b")],
        [{"type": "http.request"}],
        [{"type": "http.request", "body": b"a", "more_body": False, "x-key": 1}],
        [{"type": "http.x-future"}, request(b"a")],
        [request(b"a", more_body=True), GONE],
    ],
    ids=["whole", "in parts", "defaults", "unknown key", "unknown type", "disconnect"],
)
async def test_app_reads_as_if_we_were_not_there(script: list[Scripted]) -> None:
    collector = Collector(len(script))
    await Exchange(BridgeMiddleware(collector), receive=script).run()
    assert collector.came == script


async def test_disconnect_that_a_server_tells_once_is_told_for_ever() -> None:
    collector = Collector(4)
    script: list[Scripted] = [request(b"a", more_body=True), GONE]
    await Exchange(BridgeMiddleware(collector), receive=script).run()
    assert collector.came == [request(b"a", more_body=True), GONE, GONE, GONE]


async def test_receive_that_raises_is_raised_for_ever_but_after_what_came() -> None:
    collector = Collector(3)
    script: list[Scripted] = [request(b"a", more_body=True), LookupError("too much")]
    await Exchange(BridgeMiddleware(collector), receive=script).run()
    assert collector.came == [request(b"a", more_body=True), "too much", "too much"]


async def test_app_may_listen_after_its_body_and_after_its_response() -> None:
    came: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        came.append(await receive())
        async with anyio.create_task_group() as tasks:

            async def listen() -> None:
                came.append(await receive())

            tasks.start_soon(listen)
            await settled()
            assert came == [request(b"a")]
            await send(start())
            await send(body())
        came.append(await receive())

    exchange = Exchange(BridgeMiddleware(app), receive=[request(b"a")])
    await exchange.run()
    assert came == [request(b"a"), GONE, GONE]
    assert exchange.receive_cancellations == 0


async def test_app_may_read_the_rest_of_its_body_after_its_response() -> None:
    came: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body())
        came.extend([await receive(), await receive()])

    await Exchange(BridgeMiddleware(app), receive=[request(b"a")]).run()
    assert GONE in came


async def test_two_receives_at_once_share_one_of_the_servers() -> None:
    came: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def take() -> None:
            came.append(await receive())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take)
            tasks.start_soon(take)
        await send(start())
        await send(body())

    async with Exchange(BridgeMiddleware(app)) as exchange:  # it forbids two at once
        await exchange.until_receiving()
        await settled()
        await exchange.send_chunk(b"a")
        await exchange.end_body(b"b")
    assert came == [request(b"a", more_body=True), request(b"b")]


async def test_cancelled_receive_loses_nothing() -> None:
    came: list[Message] = []
    cancelled = Step()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as tasks:

            async def receive_in_vain() -> None:
                await receive()

            tasks.start_soon(receive_in_vain)
            await settled()
            tasks.cancel_scope.cancel()
        cancelled.take()
        came.extend([await receive(), await receive()])
        await send(start())
        await send(body())

    async with Exchange(BridgeMiddleware(app)) as exchange:
        await cancelled.reached()
        await exchange.send_chunk(b"a")
        await exchange.end_body(b"b")
    assert came == [request(b"a", more_body=True), request(b"b")]
    assert exchange.receive_cancellations == 0


@pytest.mark.parametrize("pause", [settled, anyio.lowlevel.checkpoint])
async def test_receive_under_a_cancelled_scope_takes_nothing_along(
    pause: Callable[[], Awaitable[None]],
) -> None:
    came: list[Message] = []

    async def poll(receive: Receive) -> None:
        with anyio.CancelScope() as scope:
            scope.cancel()
            came.append(await receive())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in script:
            await poll(receive)
            await pause()
            came.append(await receive())
        await send(start())
        await send(body())

    script = [*(request(b"%d" % n, more_body=True) for n in range(9)), request(b"z")]
    await Exchange(BridgeMiddleware(app), receive=script).run()
    assert came == script


async def test_reading_ahead_is_bounded() -> None:
    came: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        came.append(await receive())
        await settled()
        undelivered.append(exchange.undelivered)
        while came[-1]["more_body"]:
            came.append(await receive())
        await send(start())
        await send(body())

    undelivered: list[int] = []
    limits = Limits(prefetch_bytes=2 * (2 + MESSAGE_COST))
    script = [*(request(b"ab", more_body=True) for _ in range(10)), request(b"z")]
    exchange = Exchange(BridgeMiddleware(app, limits=limits), receive=script)
    await exchange.run()
    assert undelivered == [8]  # one is in the app's hands, and two are held
    assert came == script


async def test_app_that_leaves_its_body_alone_reads_nothing_ahead() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await settled()
        await send(start())
        await send(body())

    exchange = Exchange(BridgeMiddleware(app), receive=[request(b"a")])
    await exchange.run()
    assert exchange.undelivered == 1


def echo_in_parts(scope: Scope, receive: Receive) -> AsyncIterator[bytes]:
    async def chunks() -> AsyncIterator[bytes]:
        while (message := await receive())["type"] == "http.request":
            yield message["body"]
            if not message["more_body"]:
                return

    return chunks()


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await send(start())
    async for chunk in echo_in_parts(scope, receive):
        await send(body(chunk, more_body=True))
    await send(body())


@pytest.mark.parametrize("app", [BridgeMiddleware(echo), BridgeMiddleware(BridgeMiddleware(echo))])
async def test_lock_step_through_an_app(app: ASGIApp) -> None:
    async with Exchange(app) as exchange:
        for number in range(20):
            await exchange.send_chunk(b"%d" % number)
            assert await exchange.expect_chunk() == b"%d" % number
        await exchange.end_body()
        await exchange.expect_end()
    assert exchange.receive_cancellations == 0


async def test_upload_that_is_cut_is_no_whole_one() -> None:
    collector = Collector(2)
    script: list[Scripted] = [request(b"a", more_body=True), DISCONNECT]
    await Exchange(BridgeMiddleware(collector), receive=script).run()
    assert collector.came == [request(b"a", more_body=True), GONE]
