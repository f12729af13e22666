"""open_body: who may claim a body, from where, and what is left for the application."""

import threading
from collections.abc import Awaitable, Callable

import anyio
import anyio.to_thread
import pytest

from asgi_bridge import (
    BodyAlreadyClaimed,
    BodyReader,
    BridgeMiddleware,
    BridgeNotInstalled,
    ClientDisconnected,
    Limits,
    Request,
    Response,
    WorkerPool,
    handler,
    open_body,
)
from asgi_bridge.errors import ExchangeOver
from asgi_bridge.protocol.watermarks import Watermarks
from asgi_bridge.testing import AppState, Exchange, Scripted, body, request, scope_for, start
from asgi_bridge.types import ASGIApp, Message, Receive, Scope, Send

from .helpers import WAIT, Step, ending, lines, settled

pytestmark = pytest.mark.anyio

GONE: Message = {"type": "http.disconnect"}
SCRIPT = [request(b"a", more_body=True), request(b"b", more_body=True), request(b"c")]

Claim = Callable[[Scope], Awaitable[bytes]]


async def on_the_loop(scope: Scope) -> bytes:
    return await anyio.to_thread.run_sync(open_body(scope).read)


async def on_a_thread(scope: Scope) -> bytes:
    return await anyio.to_thread.run_sync(lambda: open_body(scope).read())


async def when_the_body_is_here(scope: Scope) -> bytes:
    await settled()
    return await on_the_loop(scope)


async def spooled(scope: Scope) -> bytes:
    def read_again() -> bytes:
        with open_body(scope, spool=True) as file:
            file.read()
            file.seek(0)
            return file.read()

    return await anyio.to_thread.run_sync(read_again)


async def spooled_or_not(scope: Scope) -> bytes:
    def read_some_way(spool: bool) -> bytes:  # a plain bool has an overload of its own
        return open_body(scope, spool=spool).read()

    return await anyio.to_thread.run_sync(read_some_way, True)


def answering(claim: Claim) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        chunk = await claim(scope)
        await send(start())
        await send(body(chunk))

    return app


@pytest.mark.parametrize(
    "claim", [on_the_loop, on_a_thread, when_the_body_is_here, spooled, spooled_or_not]
)
async def test_body_is_read_from_anywhere(claim: Claim) -> None:
    exchange = Exchange(BridgeMiddleware(answering(claim)), receive=SCRIPT)
    assert await exchange.run() == [start(), body(b"abc")]
    assert exchange.receive_cancellations == 0


async def test_anything_with_a_scope_will_do() -> None:
    class Connection:
        def __init__(self, scope: Scope) -> None:
            self.scope = scope

    async def claim(scope: Scope) -> bytes:
        return await anyio.to_thread.run_sync(open_body(Connection(scope)).read)

    exchange = Exchange(BridgeMiddleware(answering(claim)), receive=[request(b"abc")])
    assert await exchange.run() == [start(), body(b"abc")]


async def test_body_can_be_claimed_once() -> None:
    async def claim(scope: Scope) -> bytes:
        first = open_body(scope)
        with pytest.raises(BodyAlreadyClaimed, match="it has a reader already"):
            open_body(scope)
        return await anyio.to_thread.run_sync(first.read)

    exchange = Exchange(BridgeMiddleware(answering(claim)), receive=[request(b"abc")])
    assert await exchange.run() == [start(), body(b"abc")]


async def test_body_that_the_app_has_begun_to_read_is_its_own() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        first = await receive()
        with pytest.raises(BodyAlreadyClaimed, match="the application has read from it itself"):
            open_body(scope)
        second = await receive()
        await send(start())
        await send(body(first["body"] + second["body"]))

    script = [request(b"a", more_body=True), request(b"b")]
    exchange = Exchange(BridgeMiddleware(app), receive=script)
    assert await exchange.run() == [start(), body(b"ab")]


async def test_bridge_is_needed() -> None:
    with pytest.raises(BridgeNotInstalled, match=r"app = BridgeMiddleware\(app\)"):
        open_body(scope_for())


# What is left for the application's own receive().


async def test_message_in_flight_goes_to_the_reader() -> None:
    """A framework that listens for the disconnect has a receive() pending already."""
    heard: list[Message] = []
    claimed = Step()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def listen() -> None:
            heard.append(await receive())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            await settled()
            reader = open_body(scope)
            claimed.take()
            chunk = await anyio.to_thread.run_sync(reader.read)
            assert heard == []
            await send(start())
            await send(body(chunk))

    async with Exchange(BridgeMiddleware(app)) as exchange:
        await claimed.reached()
        for chunk in (b"a", b"b"):
            await exchange.send_chunk(chunk)
        await exchange.end_body(b"c")
    assert exchange.sent == [start(), body(b"abc")]
    assert heard == [GONE]  # when the response was complete
    assert exchange.receive_cancellations == 0


async def test_message_that_was_held_for_the_app_goes_to_the_reader() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with anyio.CancelScope() as cancelled:
            cancelled.cancel()
            await receive()  # begins to read ahead, and takes nothing
        await settled()
        await send(start())
        await send(body(await on_a_thread(scope)))

    limits = Limits(prefetch_bytes=2)
    exchange = Exchange(BridgeMiddleware(app, limits=limits), receive=SCRIPT)
    assert await exchange.run() == [start(), body(b"abc")]


async def test_claim_counts_before_the_loop_has_heard_of_it() -> None:
    """A thread has claimed the body; the messages held here have not moved to the reader yet."""
    heard: list[Message] = []
    readers: list[BodyReader] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def poll() -> None:
            with anyio.CancelScope() as cancelled:
                cancelled.cancel()
                heard.append(await receive())

        await poll()
        await settled()
        claiming = threading.Thread(target=lambda: readers.append(open_body(scope)))
        claiming.start()
        claiming.join(WAIT)  # the loop stands still meanwhile
        await poll()
        await send(start())
        await send(body(await anyio.to_thread.run_sync(readers[0].read)))

    exchange = Exchange(BridgeMiddleware(app), receive=SCRIPT)
    assert await exchange.run() == [start(), body(b"abc")]
    assert heard == []


async def test_listener_hears_of_the_disconnect_alone(log: pytest.LogCaptureFixture) -> None:
    heard: list[Message] = []
    seen: list[type[BaseException]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reader = open_body(scope)
        async with anyio.create_task_group() as tasks:

            async def listen() -> None:
                heard.append(await receive())
                heard.append(await receive())

            def read() -> None:
                try:
                    reader.read()
                except ClientDisconnected as error:
                    seen.append(type(error))

            tasks.start_soon(listen)
            await anyio.to_thread.run_sync(read)

    async with Exchange(BridgeMiddleware(app)) as exchange:
        await exchange.send_chunk(b"a")
        await exchange.send_chunk(b"b")
        exchange.disconnect()
        await exchange.wait_closed()
    assert heard == [GONE, GONE]
    assert seen == [ClientDisconnected]
    assert (ending(exchange), exchange.sent) == ((AppState.RETURNED, None), [])
    assert lines(log) == [("WARNING", "PUT /: the client went away after 2 bytes of body")]


async def test_reader_gets_what_receive_raises() -> None:
    heard: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(LookupError, match="too much"):
            await on_a_thread(scope)
        await send(start(413))
        await send(body())
        heard.append(await receive())

    script: list[Scripted] = [request(b"a", more_body=True), LookupError("too much")]
    exchange = Exchange(BridgeMiddleware(app), receive=script)
    assert await exchange.run() == [start(413), body()]
    assert heard == [GONE]


@pytest.mark.parametrize(
    ("last", "error"), [(LookupError("x"), LookupError), (GONE, ClientDisconnected)]
)
async def test_claim_after_the_end_has_come(
    last: Message | Exception, error: type[Exception]
) -> None:
    seen: list[bytes | type[Exception]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with anyio.CancelScope() as cancelled:
            cancelled.cancel()
            await receive()
        await settled()

        def read() -> None:
            reader = open_body(scope)
            seen.append(reader.read1())
            try:
                reader.read1()
            except (LookupError, ClientDisconnected) as caught:
                seen.append(type(caught))

        await anyio.to_thread.run_sync(read)

    script = [request(b"a", more_body=True), last]
    await Exchange(BridgeMiddleware(app), receive=script).run()
    assert seen == [b"a", error]  # what came before it is still there


async def test_claim_after_the_response_is_complete_reads_nothing() -> None:
    seen: list[type[BaseException]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body())
        try:
            await on_a_thread(scope)
        except ExchangeOver as error:
            seen.append(type(error))

    await Exchange(BridgeMiddleware(app), receive=SCRIPT).run()
    assert seen == [ExchangeOver]


async def test_reader_that_outlives_its_exchange_is_woken() -> None:
    seen: list[type[BaseException]] = []
    over = Step()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reader = open_body(scope)

        def read() -> None:
            try:
                reader.read()
            except ExchangeOver as error:
                seen.append(type(error))
            over.take()

        with anyio.CancelScope() as scope_of_read:
            async with anyio.create_task_group() as tasks:

                async def in_thread() -> None:
                    await anyio.to_thread.run_sync(read, abandon_on_cancel=True)

                tasks.start_soon(in_thread)
                await settled()
                scope_of_read.cancel()
        await send(start())

    async with Exchange(BridgeMiddleware(app, limits=Limits(drain_timeout=0.01))) as exchange:
        await exchange.send_chunk(b"a")
        await exchange.wait_closed()
        await over.reached()
    assert seen == [ExchangeOver]
    assert exchange.sent == [start(), body()]


async def test_reader_holds_the_client_back() -> None:
    limits = Limits(request=Watermarks(high=4, low=2), prefetch_bytes=2)
    undelivered: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reader = open_body(scope)
        await settled()
        undelivered.append(exchange.undelivered)
        await send(start())
        await send(body(await anyio.to_thread.run_sync(reader.read)))

    script = [*(request(b"a", more_body=True) for _ in range(20)), request(b"z")]
    exchange = Exchange(BridgeMiddleware(app, limits=limits), receive=script)
    assert await exchange.run() == [start(), body(b"a" * 20 + b"z")]
    assert undelivered == [17]


# Bridges around bridges.


class Upper:
    """A middleware that replaces receive()."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_upper() -> Message:
            message = await receive()
            return {**message, "body": message["body"].upper()} if "body" in message else message

        await self._app(scope, receive_upper, send)


class Through:
    """A middleware that replaces nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def read_all(request: Request, response: Response) -> bytes:
    return request.body.read()


@pytest.mark.parametrize("inner", ["open_body", "handler"])
@pytest.mark.parametrize(
    ("wrap", "expected"),
    [
        (lambda app: BridgeMiddleware(BridgeMiddleware(app)), b"abc"),
        (lambda app: BridgeMiddleware(Through(BridgeMiddleware(app))), b"abc"),
        (lambda app: BridgeMiddleware(Upper(BridgeMiddleware(app))), b"ABC"),
        (lambda app: Upper(BridgeMiddleware(app)), b"ABC"),
    ],
    ids=["twice", "with another between", "with another's receive", "below another's receive"],
)
async def test_bridges_stand_aside_for_each_other(
    wrap: Callable[[ASGIApp], ASGIApp], expected: bytes, inner: str, pool: WorkerPool
) -> None:
    app = answering(on_a_thread) if inner == "open_body" else handler(read_all, pool=pool)
    exchange = Exchange(wrap(app), receive=SCRIPT)
    await exchange.run()
    assert (exchange.status, exchange.body, exchange.complete) == (200, expected, True)


async def test_handler_has_claimed_its_body(pool: WorkerPool) -> None:
    @handler(pool=pool)
    def app(request: Request, response: Response) -> str:
        with pytest.raises(BodyAlreadyClaimed):
            open_body(request)
        return request.body.read().decode()

    exchange = Exchange(app, receive=SCRIPT)
    await exchange.run()
    assert (exchange.body, exchange.complete) == (b"abc", True)


async def test_handler_below_anothers_receive_reads_through_it(pool: WorkerPool) -> None:
    app = BridgeMiddleware(Upper(handler(read_all, pool=pool)))
    exchange = Exchange(app, receive=SCRIPT)
    await exchange.run()
    assert (exchange.body, exchange.complete) == (b"ABC", True)


async def test_claim_without_a_reader() -> None:
    """As when a thread has claimed the body, and the exchange ends before it has its reader."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["asgi_bridge"].intake.claim()
        await send(start())
        await send(body(b"done"))

    exchange = Exchange(BridgeMiddleware(app), receive=SCRIPT)
    await exchange.run()
    assert (exchange.body, exchange.complete) == (b"done", True)
    assert exchange.undelivered == len(SCRIPT)
