"""How long a start is held, and what is held back before a stream."""

from collections.abc import Iterator

import anyio
import pytest

from asgi_bridge import BridgeMiddleware, Limits, Request, Response, WorkerPool, handler
from asgi_bridge.errors import ResponseIncomplete
from asgi_bridge.testing import AppState, Exchange, body, request, start
from asgi_bridge.types import ASGIApp, Message, Receive, Scope, Send

from .helpers import CHUNKED, WAIT, Counted, Step, ending, lines, settled

pytestmark = pytest.mark.anyio

PROXIED = [*CHUNKED, (b"x-forwarded-for", b"192.0.2.1")]
CHUNK = b"c" * 1000
SOON = 0.02  # seconds
LIMITS = Limits(stall_timeout=SOON)

# The response's head.


@pytest.mark.parametrize(
    "content_type",
    [
        b"text/event-stream",
        b"application/x-ndjson",
        b"Application/JSONL; charset=utf-8",
        b"application/json-seq",
        b"application/stream+json",
        b"multipart/x-mixed-replace; boundary=frame",
    ],
)
async def test_head_of_a_stream_of_events_is_not_held(content_type: bytes) -> None:
    """Its subscriber waits for it, before the first event can happen."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(head)
        await event.wait()
        await send(body(b"{}\n"))

    event = anyio.Event()
    head = start(200, [(b"Content-Type", content_type)])
    async with Exchange(BridgeMiddleware(app), method="GET") as exchange:
        await exchange.end_body()
        await exchange.expect_start()
        event.set()
    assert exchange.sent == [head, body(b"{}\n")]


async def test_head_of_anything_else_is_held_until_its_body() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(200, [(b"content-type", b"application/json")]))
        await settled()
        assert exchange.sent == []
        raise RuntimeError("and may yet become a 500")

    exchange = Exchange(BridgeMiddleware(app), method="GET")
    with pytest.raises(RuntimeError, match="a 500"):
        await exchange.run()
    assert exchange.sent == []


async def test_head_is_held_for_so_long() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await go_on.wait()
        await send(body(b"late"))

    go_on = anyio.Event()
    app_behind = BridgeMiddleware(app, limits=Limits(hold_timeout=SOON))
    async with Exchange(app_behind, method="GET") as exchange:
        await exchange.end_body()
        await exchange.expect_start()
        go_on.set()
    assert exchange.sent == [start(), body(b"late")]


async def test_body_that_comes_in_time_goes_with_its_head() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"at once", more_body=True))
        await anyio.sleep(3 * SOON)  # the head's time passes
        await send(body(b""))

    app_behind = BridgeMiddleware(app, limits=Limits(hold_timeout=SOON))
    exchange = Exchange(app_behind, method="GET")
    assert await exchange.run() == [start(), body(b"at once", more_body=True), body(b"")]


async def test_head_of_a_client_that_has_left_is_not_let_go() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(start())
        while (await receive())["type"] != "http.disconnect":
            pass
        await anyio.sleep(3 * SOON)

    app_behind = BridgeMiddleware(app, limits=Limits(hold_timeout=SOON))
    async with Exchange(app_behind, method="GET") as exchange:
        await exchange.end_body()
        exchange.disconnect()
    assert exchange.sent == []


# Behind a proxy.


def echo(request: Request, response: Response) -> Iterator[bytes]:
    yield from request.body.chunks()


async def echo_async(scope: Scope, receive: Receive, send: Send) -> None:
    await send(start())
    more = True
    while more:
        message = await receive()
        assert message["type"] == "http.request"
        more = message["more_body"]
        await send(body(message["body"], more_body=more))


def echoing(kind: str, pool: WorkerPool, limits: Limits) -> ASGIApp:
    if kind == "handler":
        return handler(echo, pool=pool, limits=limits)
    return BridgeMiddleware(echo_async, limits=limits)


ECHOES = pytest.mark.parametrize("kind", ["handler", "application"])


@ECHOES
@pytest.mark.parametrize("name", [b"via", b"forwarded", b"x-forwarded-proto", b"x-real-ip"])
async def test_start_is_held_while_the_request_keeps_coming(
    kind: str, name: bytes, pool: WorkerPool
) -> None:
    """nginx sends no more of a request once the response has begun."""
    app = echoing(kind, pool, Limits(stall_timeout=0.5))
    async with Exchange(app, headers=[*CHUNKED, (name, b"x")]) as exchange:
        for _ in range(20):
            await exchange.send_chunk(CHUNK)
            await exchange.until_receiving()
            await settled()
            assert exchange.sent == []
        await exchange.end_body()
    assert (exchange.status, exchange.body, exchange.complete) == (200, CHUNK * 20, True)


@ECHOES
async def test_upload_of_any_size_goes_through_the_spool_meanwhile(
    kind: str, pool: WorkerPool
) -> None:
    """More than what is held in memory, so nothing could come without it."""
    app = echoing(kind, pool, LIMITS)
    count = 100
    async with Exchange(app, headers=PROXIED) as exchange:
        for _ in range(count):
            await exchange.send_chunk(CHUNK * 64)
        await exchange.end_body()
    assert (exchange.status, exchange.complete) == (200, True)
    assert exchange.body == CHUNK * 64 * count


@ECHOES
async def test_client_that_waits_for_an_answer_gets_it(kind: str, pool: WorkerPool) -> None:
    """In lock-step, through a proxy that passes on what comes: the first answer has to wait."""
    async with Exchange(echoing(kind, pool, LIMITS), headers=PROXIED) as exchange:
        for chunk in (b"aa", b"bb", b"cc"):
            await exchange.send_chunk(chunk)
            assert await exchange.expect_chunk() == chunk
        await exchange.end_body()
        await exchange.expect_end()


@ECHOES
async def test_start_is_not_held_for_who_knows_better(kind: str, pool: WorkerPool) -> None:
    limits = Limits(duplex="full", stall_timeout=30)
    async with Exchange(echoing(kind, pool, limits), headers=PROXIED) as exchange:
        await exchange.send_chunk(b"aa")
        assert await exchange.expect_chunk() == b"aa"
        await exchange.end_body()


@ECHOES
async def test_start_is_not_held_over_http_2(kind: str, pool: WorkerPool) -> None:
    app = echoing(kind, pool, Limits(stall_timeout=30))
    exchange = Exchange(app, headers=PROXIED)
    exchange.scope["http_version"] = "2"
    async with exchange:
        await exchange.send_chunk(b"aa")
        assert await exchange.expect_chunk() == b"aa"
        await exchange.end_body()


@ECHOES
async def test_client_that_leaves_while_the_start_is_held(kind: str, pool: WorkerPool) -> None:
    async with Exchange(echoing(kind, pool, Limits(stall_timeout=30)), headers=PROXIED) as exchange:
        await exchange.send_chunk(CHUNK)
        await exchange.until_receiving()
        exchange.disconnect()
        await exchange.wait_closed()
    own = (AppState.RAISED, AssertionError)  # of what it meets in its own receive()
    assert ending(exchange) == (own if kind == "application" else (AppState.RETURNED, None))
    assert exchange.sent == []


async def test_handler_that_has_returned_holds_nothing_back(pool: WorkerPool) -> None:
    """It will not read the rest, so nobody waits for it."""

    begun, step = Step(), Step()

    def reads_nothing(request: Request, response: Response) -> Iterator[bytes]:
        yield b"some"
        begun.take()
        step.wait()
        yield b"!"

    limits = Limits(stall_timeout=30, drain_timeout=0)
    app = handler(reads_nothing, pool=pool, limits=limits)
    async with Exchange(app, headers=PROXIED) as exchange:
        await exchange.send_chunk(b"c")
        await begun.reached()
        await settled()
        assert exchange.sent == []
        step.take()
        with anyio.fail_after(WAIT):
            while not exchange.sent:
                await exchange.send_chunk(b"c")
                await exchange.until_receiving()
                await settled()
    assert (exchange.body, exchange.complete) == (b"some!", True)


async def test_log_names_the_likely_cause_of_a_body_that_stops(
    pool: WorkerPool, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asgi_bridge.exchange.patience.STOPPED", SOON)
    for _ in range(2):
        async with Exchange(echoing("handler", pool, LIMITS), headers=PROXIED) as exchange:
            await exchange.send_chunk(b"aa")
            assert await exchange.expect_chunk() == b"aa"
            await exchange.send_chunk(b"bb")
            assert await exchange.expect_chunk() == b"bb"
            await anyio.sleep(5 * SOON)  # it stands still
            await exchange.end_body()
    ((level, line),) = lines(log)
    assert level == "WARNING"
    assert "no request bytes" in line
    assert "duplex='half'" in line


async def test_log_says_nothing_of_a_body_that_has_ended(
    pool: WorkerPool, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The response goes on after it, for longer than a body may stand still."""
    monkeypatch.setattr("asgi_bridge.exchange.patience.STOPPED", SOON)

    def slow(request: Request, response: Response) -> Iterator[bytes]:
        yield request.body.read1()
        yield request.body.read()
        step.wait()
        yield b"end"

    step = Step()
    async with Exchange(handler(slow, pool=pool, limits=LIMITS), headers=PROXIED) as exchange:
        await exchange.send_chunk(b"aa")
        assert await exchange.expect_chunk() == b"aa"
        await exchange.end_body(b"bb")
        assert await exchange.expect_chunk() == b"bb"
        await anyio.sleep(5 * SOON)
        step.take()
    assert lines(log) == []


# One rule for both: before a stream, the body is invited, and then held for.


@ECHOES
async def test_answer_to_a_client_that_expects_a_100_is_held_too(
    kind: str, pool: WorkerPool
) -> None:
    record: list[str] = []
    headers = [*CHUNKED, (b"expect", b"100-continue")]
    app = Counted(echoing(kind, pool, Limits(duplex="half")), record)
    exchange = Exchange(app, headers=headers, receive=[request(b"a", more_body=True)])
    async with exchange:
        await exchange.until_receiving()
        await settled()
        assert exchange.sent == []
        await exchange.end_body(b"b")
    assert (exchange.status, exchange.body) == (200, b"ab")
    assert record[0] == "receive"


# A large message.


async def test_large_message_whose_send_is_cancelled_goes_out_whole() -> None:
    """Servers send each of an application's messages whole or not at all."""
    sends: list[bytes] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        for letter in b"abc":
            with anyio.move_on_after(SOON):
                await send(body(bytes([letter]) * 10, more_body=True))
        await send(body())

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        async def slow_send(message: Message) -> None:
            if message.get("body"):
                await anyio.sleep(SOON)
                sends.append(message["body"])
            await send(message)

        await BridgeMiddleware(app, limits=Limits(message_bytes=4))(scope, receive, slow_send)

    exchange = Exchange(slow, method="GET")
    await exchange.run()
    assert exchange.complete
    counts = {letter: exchange.body.count(letter) for letter in (b"a", b"b", b"c")}
    assert set(counts.values()) <= {0, 10}
    assert counts[b"a"] == 10
    assert sends


async def test_app_that_returns_after_a_cancelled_large_message() -> None:
    """What is under way goes out; the response has no end, and the server sees to that."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        with anyio.move_on_after(SOON):
            await send(body(b"0123456789", more_body=True))

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        async def slow_send(message: Message) -> None:
            if message.get("body"):
                await anyio.sleep(SOON)
            await send(message)

        await BridgeMiddleware(app, limits=Limits(message_bytes=4))(scope, receive, slow_send)

    exchange = Exchange(slow, method="GET")
    await exchange.run()
    assert (exchange.body, exchange.complete) == (b"0123456789", False)


async def test_start_whose_send_is_cancelled_leaves_no_response_that_looks_whole() -> None:
    """Nobody can know whether the server has it, so there is nothing that could follow."""
    met: list[type[Exception]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        with anyio.move_on_after(SOON):
            await send(body(b"a", more_body=True))
        try:
            await send(body(b"b"))
        except ResponseIncomplete as error:
            met.append(type(error))

    async def stuck(scope: Scope, receive: Receive, send: Send) -> None:
        async def stuck_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                await anyio.sleep_forever()
            await send(message)

        await BridgeMiddleware(app)(scope, receive, stuck_send)

    exchange = Exchange(stuck, method="GET")
    await exchange.run()
    assert (met, exchange.sent, exchange.complete) == ([ResponseIncomplete], [], False)


async def test_piece_that_the_server_refuses_is_an_error_for_the_application() -> None:
    met: list[Exception] = []
    failure = LookupError("the server's")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        try:
            await send(body(b"0123456789", more_body=True))
        except LookupError as error:
            met.append(error)
            raise

    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        async def failing_send(message: Message) -> None:
            if message.get("body") == b"4567":
                raise failure
            await send(message)

        await BridgeMiddleware(app, limits=Limits(message_bytes=4))(scope, receive, failing_send)

    exchange = Exchange(failing, method="GET")
    with pytest.raises(LookupError, match="the server's"):
        await exchange.run()
    assert (met, exchange.body) == ([failure], b"0123")
