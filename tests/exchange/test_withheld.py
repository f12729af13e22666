"""withhold: bodies that are kept from an application that reads before it calls anyone."""

from collections.abc import Awaitable, Callable, Iterator

import anyio
import anyio.to_thread
import pytest

import asgi_bridge
from asgi_bridge import BodyAlreadyClaimed, BridgeMiddleware, handler, open_body
from asgi_bridge.testing import AppState, Exchange, body, request, start
from asgi_bridge.types import ASGIApp, Message, Receive, Scope, Send

from .helpers import Counted, Step, ending, joined, settled

pytestmark = pytest.mark.anyio

EXPECT = [(b"content-length", b"3"), (b"expect", b"100-continue")]
NONE: Message = {"type": "http.request", "body": b"", "more_body": False}
GONE: Message = {"type": "http.disconnect"}

View = Callable[[Scope], Awaitable[bytes]]


def always(scope: Scope) -> bool:
    return True


def below(scope: Scope) -> bool:
    path: str = scope["path"]
    return path.startswith("/below/")


class Hasty:
    """A framework that takes in the whole body first, and then listens beside its view.

    Attributes:
        heard: what its receive() has told it.
        listening: taken when nothing happens any more before the view is called.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self.heard: list[Message] = []
        self.listening = Step()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def listen() -> None:
            self.heard.append(await receive())

        self.heard.append(await receive())
        while self.heard[-1].get("more_body", False):
            self.heard.append(await receive())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            await settled()
            self.listening.take()
            chunk = await self._view(scope)
            await send(start())
            await send(body(chunk))


async def read(scope: Scope) -> bytes:
    return await anyio.to_thread.run_sync(open_body(scope).read)


async def nothing(scope: Scope) -> bytes:
    return b""


async def test_view_reads_what_its_framework_was_not_given() -> None:
    app = Hasty(read)
    script = [request(b"a", more_body=True), request(b"bc")]
    exchange = Exchange(BridgeMiddleware(app, withhold=always), receive=script)
    assert await exchange.run() == [start(), body(b"abc")]
    assert app.heard == [NONE, GONE]  # the second when the response was complete
    assert exchange.receive_cancellations == 0


async def test_without_it_the_body_is_gone_and_the_error_says_so() -> None:
    async def refused(scope: Scope) -> bytes:
        with pytest.raises(BodyAlreadyClaimed, match="withhold"):
            open_body(scope)
        return b""

    exchange = Exchange(BridgeMiddleware(Hasty(refused)), receive=[request(b"abc")])
    assert await exchange.run() == [start(), body(b"")]


async def test_only_where_the_function_says_so() -> None:
    app = Hasty(nothing)
    bridge = BridgeMiddleware(app, withhold=below)
    await Exchange(bridge, path="/beside", receive=[request(b"abc")]).run()
    assert app.heard == [request(b"abc"), GONE]
    await Exchange(bridge, path="/below/it", receive=[request(b"abc")]).run()
    assert app.heard[2:] == [NONE, GONE]


async def test_client_that_leaves_is_heard_of(log: pytest.LogCaptureFixture) -> None:
    app = Hasty(read)
    async with Exchange(BridgeMiddleware(app, withhold=always)) as exchange:
        await exchange.send_chunk(b"a")
        exchange.disconnect()
        await exchange.wait_closed()
    assert app.heard == [NONE, GONE]
    assert (ending(exchange), exchange.sent) == ((AppState.RETURNED, None), [])


async def test_body_that_nobody_claims_is_drained() -> None:
    bridge = BridgeMiddleware(Hasty(nothing), withhold=always)
    async with Exchange(bridge) as exchange:
        for chunk in (b"a", b"b"):
            await exchange.send_chunk(chunk)
        await exchange.end_body()
    assert exchange.sent == [start(), body(b"")]


async def test_listening_does_not_invite_the_body() -> None:
    """Only the claim does: the first receive() is what makes a server send the 100."""
    claim = Step()

    async def late(scope: Scope) -> bytes:
        await claim.reached()
        return await read(scope)

    app = Hasty(late)
    async with Exchange(BridgeMiddleware(app, withhold=always), headers=EXPECT) as exchange:
        await app.listening.reached()
        assert exchange.receives_pending == 0
        claim.take()
        await exchange.until_receiving()
        await exchange.end_body(b"abc")
    assert exchange.body == b"abc"


async def test_refusal_does_not_invite_it_either() -> None:
    record: list[str] = []
    app = Counted(BridgeMiddleware(Hasty(nothing), withhold=always), record)
    await Exchange(app, headers=EXPECT).run()
    assert record == ["start", "body"]


async def test_message_first_read_under_a_cancelled_scope_is_not_lost() -> None:
    async def polling(scope: Scope, receive: Receive, send: Send) -> None:
        with anyio.CancelScope() as cancelled:
            cancelled.cancel()
            await receive()
        await Hasty(read)(scope, receive, send)

    exchange = Exchange(BridgeMiddleware(polling, withhold=always), receive=[request(b"abc")])
    assert await exchange.run() == [start(), body(b"abc")]


@handler
def upper(request: asgi_bridge.Request, response: asgi_bridge.Response) -> Iterator[bytes]:
    for chunk in request.body.chunks():
        yield chunk.upper()


async def test_handler_further_in_reads_it() -> None:
    exchange = Exchange(BridgeMiddleware(upper, withhold=always), receive=[request(b"abc")])
    messages = joined(await exchange.run())
    assert messages[-1]["body"] == b"ABC"


def inside(app: ASGIApp) -> ASGIApp:
    return BridgeMiddleware(BridgeMiddleware(app, withhold=always))


def outside(app: ASGIApp) -> ASGIApp:
    return BridgeMiddleware(BridgeMiddleware(app), withhold=always)


def both(app: ASGIApp) -> ASGIApp:
    return BridgeMiddleware(BridgeMiddleware(app, withhold=always), withhold=always)


@pytest.mark.parametrize("bridged", [inside, outside, both])
async def test_bridge_in_a_bridge(bridged: Callable[[ASGIApp], ASGIApp]) -> None:
    app = Hasty(read)
    exchange = Exchange(bridged(app), receive=[request(b"abc")])
    assert await exchange.run() == [start(), body(b"abc")]
    assert app.heard == [NONE, GONE]


async def test_body_that_was_claimed_further_out_stays_so() -> None:
    async def claiming(scope: Scope, receive: Receive, send: Send) -> None:
        reader = open_body(scope)
        await BridgeMiddleware(inner, withhold=always)(scope, receive, send)
        await send(start())
        await send(body(await anyio.to_thread.run_sync(reader.read)))

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(BodyAlreadyClaimed, match="it has a reader already"):
            open_body(scope)

    exchange = Exchange(BridgeMiddleware(claiming), receive=[request(b"abc")])
    assert await exchange.run() == [start(), body(b"abc")]
