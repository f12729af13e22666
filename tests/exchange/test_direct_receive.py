"""Where an application awaits the server's receive() itself, and somebody else needs it, too."""

from contextlib import suppress

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from asgi_bridge import BodyReader, BridgeMiddleware, Limits, open_body
from asgi_bridge.crossing.here import current_portal
from asgi_bridge.intake import Intake
from asgi_bridge.testing import AppState, Exchange, body, request, scope_for, start
from asgi_bridge.types import Message, Receive, Scope, Send

from .helpers import CHUNKED, SHUT_DOWN_503, ending, lines, settled

pytestmark = pytest.mark.anyio


async def listen(receive: Receive, heard: list[str]) -> None:
    """As frameworks do: until the disconnect."""
    kind = ""
    while kind != "http.disconnect":
        kind = (await receive())["type"]
    heard.append(kind)


async def test_body_that_is_claimed_while_a_listener_awaits_it() -> None:
    """What the listener's call brings is the reader's; the listener hears of the disconnect."""
    heard: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen, receive, heard)
            await settled()
            reader = open_body(scope)
            claimed.set()
            whole = await anyio.to_thread.run_sync(reader.read)
            await send(start())
            await send(body(whole))

    claimed = anyio.Event()
    async with Exchange(BridgeMiddleware(app), method="GET") as exchange:
        await claimed.wait()
        await exchange.send_chunk(b"a GET over HTTP/2 ")
        await exchange.end_body(b"may have a body")
    assert (exchange.body, heard) == (b"a GET over HTTP/2 may have a body", ["http.disconnect"])


async def test_listener_that_is_cancelled_leaves_the_body_to_its_reader() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen, receive, [])
            await settled()
            reader = open_body(scope)
            await settled()  # the reader has asked for a pump, which has to wait
            tasks.cancel_scope.cancel()
        given_up.set()
        whole = await anyio.to_thread.run_sync(reader.read)
        await send(start())
        await send(body(whole))

    given_up = anyio.Event()
    async with Exchange(BridgeMiddleware(app), method="GET") as exchange:
        await given_up.wait()
        await exchange.end_body(b"abc")
    assert exchange.body == b"abc"


async def test_two_listeners_and_a_pump_that_is_due() -> None:
    """One of them is cancelled, and the other still awaits the server's receive()."""
    heard: list[str] = []
    readers: list[BodyReader] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen, receive, heard)
            with anyio.CancelScope() as given_up:
                tasks.start_soon(cancel_soon, given_up)
                await receive()
            await send(start())
            await send(body(b"a", more_body=True))
            await send(body())

    async def cancel_soon(given_up: anyio.CancelScope) -> None:
        await settled()
        readers.append(open_body(exchange.scope))
        await anyio.lowlevel.checkpoint()
        given_up.cancel()

    exchange = Exchange(BridgeMiddleware(app), method="GET", max_receives=2)
    async with exchange:
        await exchange.expect_chunk()
        await exchange.end_body()
    assert (exchange.body, heard) == (b"a", ["http.disconnect"])


async def test_body_of_a_request_that_announced_none_comes_in_parts() -> None:
    got: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        got.extend([await receive(), await receive()])
        await send(start())
        await send(body())

    script = [request(b"a", more_body=True), request(b"b")]
    await Exchange(BridgeMiddleware(app), method="GET", receive=script).run()
    assert got == script


@pytest.mark.parametrize("kind", ["its own receive()", "the bridge's pump"])
@pytest.mark.parametrize("started", [True, False], ids=["streaming", "before the first byte"])
async def test_listener_is_told_of_the_disconnect_at_a_shutdown(kind: str, started: bool) -> None:
    """It is what it waits for, so its framework ends the stream as it would for a client."""
    heard: list[str] = []
    pumped = kind == "the bridge's pump"

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(start())
        if started:
            await send(body(b"a", more_body=True))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen, receive, heard)
            await settled()
            shutdown.close()

    shutdown = current_portal().shutdown
    shutdown.open(listen=False)
    behind = BridgeMiddleware(app, raise_on_disconnect=pumped, limits=Limits(drain_timeout=0))
    exchange = Exchange(behind, headers=CHUNKED, receive=[request(b"abc")])
    with suppress(AssertionError):
        await exchange.run()
    assert heard == ["http.disconnect"]
    assert ending(exchange) == (AppState.RETURNED, None)
    expected = [start(), body(b"a", more_body=True)] if started else SHUT_DOWN_503
    assert exchange.sent == expected


async def test_departure_before_the_100_of_an_unread_body(log: pytest.LogCaptureFixture) -> None:
    """The version is looked at, and nothing is invited for a refusal."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["asgi"]["spec_version"] == "2.4"
        await send(start(403))
        await send(body(b"no", more_body=True))
        await send(body())

    headers = [*CHUNKED, (b"expect", b"100-continue")]
    exchange = Exchange(BridgeMiddleware(app), headers=headers)
    await exchange.run()
    assert (exchange.body, exchange.complete, exchange.receives_pending) == (b"no", True, 0)
    assert lines(log) == []


async def test_stream_whose_upload_still_comes_keeps_its_listener() -> None:
    """The bridge stops listening only for a disconnect that nothing else can come before."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"a", more_body=True))
        await go_on.wait()
        await send(body())

    go_on = anyio.Event()
    behind = BridgeMiddleware(app, limits=Limits(drain_timeout=0.05))
    async with Exchange(behind, headers=CHUNKED) as exchange:
        await exchange.send_chunk(b"some")
        await exchange.expect_chunk()
        await anyio.sleep(0.4)  # longer than it takes the bridge to begin to listen
        go_on.set()
        await exchange.expect_end()
    assert exchange.complete


async def test_scope_that_somebody_has_written_into_stays_as_it_is() -> None:
    theirs = {"version": "3.0", "spec_version": "1.0"}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["asgi"] = theirs
        scope["asgi_bridge"] = "theirs"
        await send(start())
        await send(body())

    exchange = Exchange(BridgeMiddleware(app), headers=CHUNKED, receive=[request(b"")])
    await exchange.run()
    assert exchange.scope["asgi"] is theirs
    assert exchange.scope["asgi_bridge"] == "theirs"


async def test_three_bridges_of_which_two_ask_for_the_promise() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["asgi"]["spec_version"])
        await send(start())
        await send(body())

    inner = BridgeMiddleware(app, raise_on_disconnect=True)
    asking = BridgeMiddleware(inner, raise_on_disconnect=True)
    exchange = Exchange(BridgeMiddleware(asking), method="GET")
    assert await exchange.run() == [start(), body()]
    assert seen == ["2.4"]


async def test_inner_bridge_on_the_same_scope_gives_it_back() -> None:
    """A middleware has replaced `receive`, so the inner one has an exchange of its own."""
    seen: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def replaced() -> Message:
            return await receive()

        outer = scope["asgi_bridge"]
        await BridgeMiddleware(answers)(scope, replaced, send)
        seen.append(scope["asgi_bridge"] is outer)

    async def answers(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(start())
        await send(body())

    exchange = Exchange(BridgeMiddleware(app), headers=CHUNKED, receive=[request(b"")])
    assert await exchange.run() == [start(), body()]
    assert seen == [True]


@pytest.mark.parametrize("method", ["GET", "POST"], ids=["in its own call", "by the bridge's pump"])
async def test_disconnect_is_the_message_of_the_server(method: str) -> None:
    """Whoever is around the bridge may have put something of its own there."""
    told = {"type": "http.disconnect", "reason": "somebody's own"}
    heard: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        heard.extend([await receive(), await receive()])

    async def receive() -> Message:
        return told

    async def send(message: Message) -> None:
        raise AssertionError("nobody is there for it")

    await BridgeMiddleware(app)(scope_for(method=method), receive, send)
    assert [each is told for each in heard] == [True, True]


async def test_pump_that_is_given_up_before_it_has_begun() -> None:
    """The bridge begins to listen, and the last message comes in the same turn of the loop."""

    async def receive() -> Message:
        await anyio.sleep_forever()
        raise AssertionError

    intake = Intake(scope_for(method="GET"), receive, Limits(), current_portal())
    intake.body.feed(request(b""))
    intake.watch()
    await intake.stop_watching()
    assert intake.quiet
