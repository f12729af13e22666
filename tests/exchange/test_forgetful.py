"""A server that forgets the streams of what has failed: what it and its client are told instead."""

from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from asgi_bridge import BridgeMiddleware, Limits, Request, Response, WorkerPool, handler
from asgi_bridge.testing import AppState, Exchange, body, request, scope_for, start
from asgi_bridge.types import ASGIApp, Message, Receive, Scope, Send

from .helpers import Counted, Step, ending, raiser, sender, settled

pytestmark = pytest.mark.anyio

PUSH: dict[str, Any] = {"http.response.push": {}}
ERROR = RuntimeError("failed on purpose")
TEXT = b"Internal Server Error"
FAILED = start(
    500,
    [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(TEXT))],
)
FIRST = body(b"first", more_body=True)


def declared(length: int, status: int = 200) -> Message:
    return start(status, [(b"content-length", b"%d" % length)])


def scope_of(version: str, method: str = "GET", *headers: tuple[bytes, bytes]) -> Scope:
    options = scope_for(method=method, headers=headers, extensions=PUSH)
    return {**options, "http_version": version}


async def failed(app: ASGIApp, scope: Scope) -> list[Message]:
    exchange = Exchange(app, scope)
    with pytest.raises(RuntimeError, match="failed on purpose"):
        await exchange.run()
    return exchange.sent


# Failures before the first byte.


@pytest.mark.parametrize("messages", [(), (start(),)], ids=["nothing sent", "start held"])
async def test_failure_before_the_first_byte_is_our_own_500(messages: tuple[Message, ...]) -> None:
    app = BridgeMiddleware(raiser(ERROR, *messages))
    assert await failed(app, scope_of("3")) == [FAILED, body(TEXT)]
    assert await failed(app, scope_of("3", "HEAD")) == [FAILED, body()]
    assert await failed(app, scope_of("2")) == []  # the server's is right


async def test_return_without_an_answer_is_our_own_500() -> None:
    exchange = Exchange(BridgeMiddleware(sender()), scope_of("3"))
    assert await exchange.run() == [FAILED, body(TEXT)]
    assert ending(exchange) == (AppState.RETURNED, None)


async def test_success_is_left_alone() -> None:
    hint = {"type": "http.response.early_hint", "links": [b"</style.css>; rel=preload"]}
    messages = [hint, start(), FIRST, body(b"last")]
    exchange = Exchange(BridgeMiddleware(sender(*messages)), scope_of("3"))
    assert await exchange.run() == messages


@pytest.mark.parametrize("version", ["2", "3"])
async def test_headers_that_http_3_forbids(version: str) -> None:
    """What Django and BlackSheep send; aioquic closes the connection for either."""
    headers = [(b"Content-Type", b"text/html"), (b"transfer-encoding", b"chunked")]
    app = BridgeMiddleware(sender(start(200, headers), body(b"all")))
    exchange = Exchange(app, scope_of(version))
    await exchange.run()
    due = [(b"content-type", b"text/html")] if version == "3" else headers
    assert exchange.sent == [start(200, due), body(b"all")]
    assert headers[0] == (b"Content-Type", b"text/html")  # the application's list stays its own


async def test_other_servers_answer_themselves() -> None:
    scope = {**scope_of("3"), "extensions": {}}
    assert await failed(BridgeMiddleware(raiser(ERROR)), scope) == []


async def test_nested_bridges_answer_once() -> None:
    app = BridgeMiddleware(BridgeMiddleware(raiser(ERROR)))
    assert await failed(app, scope_of("3")) == [FAILED, body(TEXT)]


async def test_failure_of_the_answer_does_not_hide_the_first() -> None:
    exchange = Exchange(BridgeMiddleware(raiser(ERROR)), scope_of("3"))
    exchange.fail_send(ValueError("the server is confused"))
    with pytest.raises(RuntimeError, match="failed on purpose"):
        await exchange.run()


# Failures after it.

ENDINGS: dict[str, tuple[Message, list[Message]]] = {
    "shorter than declared": (declared(10), [declared(10), FIRST, body()]),
    "all that was declared": (declared(5), [declared(5), FIRST]),
    "nothing declared": (start(), [start(), FIRST]),
    "trailers promised": (
        {**declared(10), "trailers": True},
        [{**declared(10), "trailers": True}, FIRST],
    ),
    "without a body": (declared(10, 304), [declared(10, 304), FIRST]),
}


@pytest.mark.parametrize("version", ["2", "3"])
@pytest.mark.parametrize(("head", "sent"), ENDINGS.values(), ids=ENDINGS)
async def test_end_comes_early_only_where_it_is_no_success(
    version: str, head: Message, sent: list[Message]
) -> None:
    app = BridgeMiddleware(raiser(ERROR, head, FIRST))
    assert await failed(app, scope_of(version)) == sent


async def test_head_is_not_ended_early() -> None:
    app = BridgeMiddleware(raiser(ERROR, declared(10), FIRST))
    assert await failed(app, scope_of("2", "HEAD")) == [declared(10), FIRST]


async def test_failure_after_the_end_adds_nothing() -> None:
    whole = [declared(5), body(b"first")]
    assert await failed(BridgeMiddleware(raiser(ERROR, *whole)), scope_of("3")) == whole


async def test_function_that_fails_midway(pool: WorkerPool) -> None:
    @handler(pool=pool)
    def app(request: Request, response: Response) -> Iterator[bytes]:
        response.headers["content-length"] = "10"
        yield b"first"
        step.wait()
        raise ERROR

    step = Step()
    async with Exchange(app, scope_of("2")) as exchange:
        await exchange.end_body()
        assert await exchange.expect_bytes(5) == b"first"
        step.take()
        await exchange.wait_closed()
    assert (exchange.sent[-1], exchange.complete) == (body(), True)
    assert ending(exchange) == (AppState.RAISED, RuntimeError)


async def test_client_that_has_left_is_told_nothing() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert await receive() == {"type": "http.disconnect"}
        raise ERROR

    async with Exchange(BridgeMiddleware(app), scope_of("3")) as exchange:
        exchange.disconnect()
        await exchange.wait_closed()
    assert exchange.sent == []


# The upload.


async def reading_one(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    raise ERROR


async def test_upload_is_taken_in_before_the_server_hears_of_it() -> None:
    async with Exchange(BridgeMiddleware(reading_one), scope_of("2", "PUT")) as exchange:
        for _ in range(20):
            await exchange.send_chunk(b"a" * 10_000)
        await exchange.until_receiving()
        assert exchange.outcome.state is AppState.RUNNING
        await exchange.end_body()
        await exchange.wait_closed()
    assert exchange.undelivered == 0
    assert ending(exchange) == (AppState.RAISED, RuntimeError)


@pytest.mark.parametrize(
    "limits", [Limits(drain_bytes=5), Limits(drain_timeout=0.01)], ids=["bytes", "time"]
)
async def test_that_is_bounded(limits: Limits) -> None:
    app = BridgeMiddleware(reading_one, limits=limits)
    async with Exchange(app, scope_of("3", "PUT")) as exchange:
        for _ in range(3):
            await exchange.send_chunk(b"a" * 10)
        await exchange.wait_closed()
    assert exchange.sent == [FAILED, body(TEXT)]


async def test_upload_that_fails_is_no_second_failure() -> None:
    app = BridgeMiddleware(reading_one)
    confused = ValueError("the server is confused")
    exchange = Exchange(
        app, scope_of("3", "PUT"), receive=[request(b"a", more_body=True), confused]
    )
    with pytest.raises(RuntimeError, match="failed on purpose"):
        await exchange.run()


async def test_upload_that_was_not_invited_is_left_alone() -> None:
    record: list[str] = []
    scope = scope_of("2", "PUT", (b"expect", b"100-continue"))
    await failed(Counted(BridgeMiddleware(raiser(ERROR)), record), scope)
    assert record == []


async def test_cancellation_is_not_held_up() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.sleep_forever()

    async with Exchange(BridgeMiddleware(app), scope_of("3", "PUT")) as exchange:
        await settled()
        exchange.cancel()
        await exchange.wait_closed()
    assert (exchange.sent, exchange.outcome.state) == ([], AppState.CANCELLED)
