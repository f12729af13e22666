"""on_exchange_end: what it is told, for each way in which an exchange ends."""

import asyncio
from contextlib import suppress

import anyio
import pytest

from asgi_bridge import BridgeMiddleware, ExchangeStats
from asgi_bridge.stats import Outcome
from asgi_bridge.testing import AppState, Exchange, body, request, scope_for, start
from asgi_bridge.types import ASGIApp, Message, Receive, Scope, Send

from .helpers import WAIT, ending, lines, raiser, sender, settled

pytestmark = pytest.mark.anyio


async def reads_and_answers(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive())["more_body"]:
        pass
    await send(start(201))
    await send(body(b"abc"))


async def streams_on(scope: Scope, receive: Receive, send: Send) -> None:
    await send(start())
    told = False
    while not told:
        await send(body(b"a", more_body=True))
        told = (await receive())["type"] == "http.disconnect"


async def parks(scope: Scope, receive: Receive, send: Send) -> None:
    await send(start())
    await send(body(b"a", more_body=True))
    await anyio.sleep_forever()


def told(stats: list[ExchangeStats]) -> tuple[str, str, int | None, int, int, Outcome]:
    """All of the one that was told, but for its duration, which is checked."""
    (one,) = stats
    assert 0 <= one.duration < 60
    return one.method, one.path, one.status, one.received_bytes, one.sent_bytes, one.outcome


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        (reads_and_answers, (201, 2, 3, Outcome.COMPLETE)),
        (sender(start(204)), (204, 0, 0, Outcome.COMPLETE)),
        (sender({"type": "http.response.debug"}, start(), body(b"a")), (200, 0, 1, "complete")),
    ],
    ids=["whole", "held start", "extension"],
)
async def test_complete(app: ASGIApp, expected: tuple[int, int, int, Outcome]) -> None:
    stats: list[ExchangeStats] = []
    script = [request(b"a", more_body=True), request(b"b")]
    bridged = BridgeMiddleware(app, on_exchange_end=stats.append)
    await Exchange(bridged, path="/p", receive=script).run()
    assert told(stats) == ("PUT", "/p", *expected)


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([], (None, 0, 0, Outcome.FAILED)),
        ([start()], (None, 0, 0, Outcome.FAILED)),
        ([start(), body(b"a", more_body=True)], (200, 0, 1, Outcome.FAILED)),
    ],
    ids=["at once", "start held", "streaming"],
)
async def test_failed(
    messages: list[dict[str, object]], expected: tuple[int | None, int, int, Outcome]
) -> None:
    stats: list[ExchangeStats] = []
    app = raiser(ValueError("the app's"), *messages)
    with pytest.raises(ValueError, match="the app's"):
        await Exchange(BridgeMiddleware(app, on_exchange_end=stats.append)).run()
    assert told(stats) == ("PUT", "/", *expected)


async def test_returned_too_early() -> None:
    stats: list[ExchangeStats] = []
    app = sender(start(), body(b"a", more_body=True))
    await Exchange(BridgeMiddleware(app, on_exchange_end=stats.append)).run()
    assert told(stats) == ("PUT", "/", 200, 0, 1, Outcome.FAILED)


async def test_returned_without_an_answer() -> None:
    """The server makes a 500 of it; we can only say that nothing was complete."""
    stats: list[ExchangeStats] = []
    await Exchange(BridgeMiddleware(sender(), on_exchange_end=stats.append)).run()
    assert told(stats) == ("PUT", "/", None, 0, 0, Outcome.FAILED)


async def test_client_gone() -> None:
    stats: list[ExchangeStats] = []
    async with Exchange(BridgeMiddleware(streams_on, on_exchange_end=stats.append)) as exchange:
        await exchange.send_chunk(b"ab")
        await exchange.until_sent(3)
        exchange.disconnect()
        await exchange.wait_closed()
    assert told(stats) == ("PUT", "/", 200, 2, 2, Outcome.CLIENT_GONE)


def test_cancelled_while_the_upload_of_a_failure_is_taken_in() -> None:
    """Or while the exchange is closed: what comes out of it counts; on asyncio."""
    stats: list[ExchangeStats] = []
    outcomes = list[Outcome]()
    asked = list[asyncio.Event]()

    class Server:
        def __init__(self) -> None:
            self.asked, self.deaf = asyncio.Event(), asyncio.Event()
            asked.append(self.asked)

        async def receive(self) -> Message:
            self.asked.set()
            while not self.deaf.is_set():
                with suppress(asyncio.CancelledError):
                    await self.deaf.wait()
            return {"type": "http.disconnect"}

        async def send(self, message: Message) -> None:
            pass

    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("on purpose")

    async def returns(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"a", more_body=True))
        await asyncio.sleep(0)
        await send(body())

    async def breaks_off(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"a", more_body=True))
        await asked[-1].wait()
        raise ValueError("on purpose")

    async def serve(app: ASGIApp) -> None:
        server = Server()
        bridged = BridgeMiddleware(app, on_exchange_end=stats.append)
        scope = scope_for(headers=[(b"content-length", b"9")])
        task = asyncio.ensure_future(bridged(scope, server.receive, server.send))
        await server.asked.wait()
        await settled()
        task.cancel()
        await settled()
        server.deaf.set()
        await asyncio.wait({task}, timeout=WAIT)
        assert task.cancelled()

    for app in (fails, returns, breaks_off):
        asyncio.run(serve(app))
        outcomes.append(stats.pop().outcome)
    assert outcomes == [Outcome.CANCELLED] * 3


async def test_cancelled() -> None:
    stats: list[ExchangeStats] = []
    async with Exchange(BridgeMiddleware(parks, on_exchange_end=stats.append)) as exchange:
        await exchange.until_sent(2)
        await settled()
        exchange.cancel()
        await exchange.wait_closed()
    assert ending(exchange) == (AppState.CANCELLED, None)
    assert told(stats) == ("PUT", "/", 200, 0, 1, Outcome.CANCELLED)


async def test_callback_that_raises_is_logged_and_no_more(log: pytest.LogCaptureFixture) -> None:
    def fail(stats: ExchangeStats) -> None:
        raise ValueError("the callback's")

    app = BridgeMiddleware(sender(start(), body(b"a")), on_exchange_end=fail)
    assert await Exchange(app).run() == [start(), body(b"a")]
    assert lines(log) == [("ERROR", "on_exchange_end failed for PUT /")]


async def test_callback_that_raises_hides_no_failure(log: pytest.LogCaptureFixture) -> None:
    def fail(stats: ExchangeStats) -> None:
        raise LookupError("the callback's")

    app = BridgeMiddleware(raiser(ValueError("the app's")), on_exchange_end=fail)
    with pytest.raises(ValueError, match="the app's"):
        await Exchange(app).run()
    assert lines(log) == [("ERROR", "on_exchange_end failed for PUT /")]
