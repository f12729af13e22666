"""Limits hold for applications that read the body themselves, and have statuses of their own."""

from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from asgi_bridge import (
    BodyTooLarge,
    BodyTooSlow,
    BridgeMiddleware,
    ClientDisconnected,
    ExchangeStats,
    Limits,
    Outcome,
    ReadTimeout,
    TotalTimeout,
    WriteTimeout,
    open_body,
)
from asgi_bridge.errors import phrase_of
from asgi_bridge.testing import AppState, Exchange, body, request, start
from asgi_bridge.types import ASGIApp, Message, Receive, Scope, Send

from .helpers import CHUNKED, ending, lines, settled

pytestmark = pytest.mark.anyio

SOON = 0.05  # seconds
SMALL = Limits(max_body_bytes=5, drain_timeout=0)


async def read_all(receive: Receive) -> bytes:
    """What a framework does."""
    whole = b""
    while True:
        message = await receive()
        assert message["type"] == "http.request"
        chunk: bytes = message["body"]
        whole += chunk
        if not message["more_body"]:
            return whole


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    whole = await read_all(receive)
    await send(start())
    await send(body(whole))


async def start_first(scope: Scope, receive: Receive, send: Send) -> None:
    await send(start())
    await send(body(await read_all(receive)))


async def answers_500(scope: Scope, receive: Receive, send: Send) -> None:
    """As `ServerErrorMiddleware` of Starlette, and those of others."""
    try:
        await bare(scope, receive, send)
    except Exception:
        await send(start(500))
        await send(body(b"an error page"))
        raise


async def swallows(scope: Scope, receive: Receive, send: Send) -> None:
    try:
        await bare(scope, receive, send)
    except Exception:
        await send(start(400))
        await send(body(b"there was an error parsing the body"))


async def whole_by_starlette(request: Request) -> Response:
    return PlainTextResponse(await request.body())


def read_by_thread(request: Request) -> Response:
    return PlainTextResponse(open_body(request).read())


async def pass_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
    return await call_next(request)


def starlette(endpoint: object) -> Starlette:
    return Starlette(routes=[Route("/", endpoint, methods=["PUT"])])  # type: ignore[arg-type]


def behind_a_task_group() -> Starlette:
    app = starlette(whole_by_starlette)
    app.add_middleware(BaseHTTPMiddleware, dispatch=pass_on)
    return app


APPS = {
    "bare": bare,
    "start first": start_first,
    "answers 500": answers_500,
    "swallows": swallows,
    "starlette": starlette(whole_by_starlette),
    "task group": behind_a_task_group(),
    "thread": starlette(read_by_thread),
}


@pytest.mark.parametrize("name", APPS)
@pytest.mark.parametrize(
    ("limits", "sent", "status"),
    [
        pytest.param(SMALL, request(b"abcdef", more_body=True), 413, id="too-long"),
        pytest.param(
            Limits(read_timeout=SOON, drain_timeout=0),
            request(b"a", more_body=True),
            408,
            id="idle",
        ),
        pytest.param(
            Limits(min_body_rate=1000, min_body_grace=0, drain_timeout=0),
            request(b"a", more_body=True),
            408,
            id="slow",
        ),
    ],
)
async def test_refused_request_has_its_own_status(
    name: str, limits: Limits, sent: Message, status: int, log: pytest.LogCaptureFixture
) -> None:
    app = BridgeMiddleware(APPS[name], limits=limits)
    async with Exchange(app, headers=CHUNKED) as exchange:
        if limits.min_body_rate == 1000:
            await exchange.until_receiving()  # only what it waits counts
            await anyio.sleep(SOON)
        await exchange.send_message(sent)
        await exchange.until_sent(2)
        await exchange.wait_closed()
    assert (exchange.status, exchange.body) == (status, phrase_of(status).encode())
    assert exchange.complete
    assert ending(exchange) == (AppState.RETURNED, None)
    assert len(lines(log)) == (0 if name == "swallows" else 1)


async def test_body_that_the_server_says_is_whole_is_whole_for_the_application() -> None:
    """Though it has fewer bytes than its length; servers see to that, and test clients need not."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        assert not message["more_body"]
        await send(start())
        await send(body(message["body"]))

    async with Exchange(BridgeMiddleware(app), headers=[(b"content-length", b"3")]) as exchange:
        await exchange.end_body(b"ab")
        await exchange.until_sent(2)
    assert exchange.sent == [start(), body(b"ab")]


@pytest.mark.parametrize("late", [True, False])
async def test_body_that_is_too_short_is_an_error_for_a_reader(late: bool) -> None:
    """Whether it is claimed before its end is here, or after."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if late:
            with anyio.CancelScope() as poll:
                poll.cancel()
                await receive()
            await settled()
        await anyio.to_thread.run_sync(open_body(scope).read)

    async with Exchange(BridgeMiddleware(app), headers=[(b"content-length", b"3")]) as exchange:
        await exchange.end_body(b"ab")
        await exchange.until_sent(2)
        await exchange.wait_closed()
    assert (exchange.status, exchange.body) == (400, phrase_of(400).encode())
    assert ending(exchange) == (AppState.RETURNED, None)


async def test_refused_head_has_no_body() -> None:
    app = BridgeMiddleware(bare, limits=SMALL)
    async with Exchange(app, method="HEAD", headers=CHUNKED) as exchange:
        await exchange.send_chunk(b"abcdef")
        await exchange.until_sent(2)
    assert (exchange.status, exchange.body) == (413, b"")


async def test_nothing_past_the_limit_reaches_the_application() -> None:
    seen: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(3):
            seen.append(await receive())

    async with Exchange(BridgeMiddleware(app, limits=SMALL), headers=CHUNKED) as exchange:
        for chunk in (b"abc", b"de", b"f"):
            await exchange.send_chunk(chunk)
        await exchange.until_sent(2)
    assert seen == [request(b"abc", more_body=True), request(b"de", more_body=True)]
    assert exchange.status == 413


async def test_failure_of_the_application_stays_its_own() -> None:
    """A request may have been refused, and the application have failed for another reason."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await read_all(receive)
        except BodyTooLarge:
            pass
        raise LookupError("not because of the body") from None

    exchange = Exchange(BridgeMiddleware(app, limits=SMALL), headers=CHUNKED)
    async with exchange:
        await exchange.send_chunk(b"abcdef")
        outcome = await exchange.wait_closed()
    # from None leaves the context: it was raised while nothing was being handled
    assert isinstance(outcome.exception, LookupError)
    assert exchange.sent == []


async def streaming(scope: Scope, receive: Receive, send: Send) -> None:
    await send(start())
    await send(body(b"x", more_body=True))
    await send(body(await read_all(receive)))


@pytest.mark.parametrize(
    ("limits", "sent", "error"),
    [
        pytest.param(SMALL, request(b"abcdef", more_body=True), BodyTooLarge, id="too-long"),
        pytest.param(
            Limits(read_timeout=SOON), request(b"a", more_body=True), ReadTimeout, id="idle"
        ),
    ],
)
async def test_refused_request_cuts_a_response_that_streams(
    limits: Limits, sent: Message, error: type[Exception]
) -> None:
    app = BridgeMiddleware(streaming, limits=limits)
    async with Exchange(app, headers=CHUNKED) as exchange:
        await exchange.send_message(sent)
        await exchange.wait_closed()
    assert ending(exchange) == (AppState.RAISED, error)
    assert exchange.sent == [start(), body(b"x", more_body=True)]


async def test_conversation_may_be_slow_once_it_streams() -> None:
    limits = Limits(min_body_rate=1e6, min_body_grace=0)
    app = BridgeMiddleware(streaming, limits=limits)
    async with Exchange(app, headers=CHUNKED) as exchange:
        await exchange.expect_start()
        await exchange.send_chunk(b"a")
        await exchange.end_body(b"b")
    assert (exchange.body, exchange.complete) == (b"xab", True)


@pytest.mark.parametrize("rate", [None, 1e-6])
async def test_pace_that_is_kept(rate: float | None) -> None:
    limits = Limits(min_body_rate=rate, min_body_grace=0)
    async with Exchange(BridgeMiddleware(bare, limits=limits), headers=CHUNKED) as exchange:
        await exchange.send_chunk(b"a")
        await exchange.end_body(b"b")
    assert exchange.body == b"ab"


async def test_request_without_a_body_is_waited_for_without_limit() -> None:
    """Some servers never tell that there is none (uvicorn's zttp over HTTP/2)."""
    app = BridgeMiddleware(bare, limits=Limits(read_timeout=SOON / 10))
    async with Exchange(app, method="GET") as exchange:
        await anyio.sleep(SOON)  # nothing is to happen
        await exchange.end_body()
    assert exchange.complete


async def test_claimed_body_has_the_limits_of_its_reader() -> None:
    """A receive() that waits from before the claim goes on waiting, for the disconnect."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def wait() -> None:
            await receive()

        with anyio.move_on_after(SOON * 3) as waited:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                await anyio.lowlevel.checkpoint()
                open_body(scope)
        assert waited.cancelled_caught
        await send(start())
        await send(body(b"ok"))

    limits = Limits(read_timeout=SOON, drain_timeout=0)
    async with Exchange(BridgeMiddleware(app, limits=limits), headers=CHUNKED) as exchange:
        await exchange.until_sent(2)
    assert exchange.body == b"ok"


# Memory.


async def test_empty_messages_are_bounded() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await anyio.wait_all_tasks_blocked()
        undelivered.append(exchange.undelivered)
        await send(start())
        await send(body())

    undelivered: list[int] = []
    script = [request(b"", more_body=True) for _ in range(1000)]
    limits = Limits(drain_timeout=0)
    exchange = Exchange(BridgeMiddleware(app, limits=limits), receive=script)
    await exchange.run()
    assert undelivered[0] > 500


# Time.


async def test_total_timeout_is_a_503() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await anyio.sleep_forever()

    seen: list[ExchangeStats] = []
    limits = Limits(total_timeout=SOON)
    wrapped = BridgeMiddleware(app, limits=limits, on_exchange_end=seen.append)
    exchange = Exchange(wrapped)
    await exchange.run()
    assert (exchange.status, exchange.body) == (503, phrase_of(503).encode())
    assert [(each.status, each.outcome) for each in seen] == [(503, Outcome.COMPLETE)]


async def test_total_timeout_cuts_a_stream() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"x", more_body=True))
        await anyio.sleep_forever()

    async with Exchange(BridgeMiddleware(app, limits=Limits(total_timeout=SOON))) as exchange:
        await exchange.wait_closed()
    assert ending(exchange) == (AppState.RAISED, TotalTimeout)
    assert not exchange.complete


async def test_in_time() -> None:
    limits = Limits(total_timeout=60)
    exchange = Exchange(BridgeMiddleware(bare, limits=limits), receive=[request(b"abc")])
    assert await exchange.run() == [start(), body(b"abc")]


async def endless(scope: Scope, receive: Receive, send: Send) -> None:
    await send(start())
    while True:
        await send(body(b"x", more_body=True))


async def chunks() -> AsyncIterator[bytes]:
    while True:
        yield b"x"


async def endless_by_starlette(request: Request) -> Response:
    return StreamingResponse(chunks())


@pytest.mark.parametrize(
    "app", [endless, starlette(endless_by_starlette)], ids=["bare", "starlette"]
)
async def test_client_that_takes_nothing_is_cut(app: ASGIApp) -> None:
    """Starlette takes the error of a send for a disconnect; the server must still be told."""
    limits = Limits(write_timeout=SOON)
    async with Exchange(BridgeMiddleware(app, limits=limits)) as exchange:
        exchange.resume_send(messages=3)
        await exchange.end_body()
        await exchange.wait_closed()
    assert ending(exchange) == (AppState.RAISED, WriteTimeout)
    assert not exchange.complete


async def test_client_that_takes_nothing_is_cut_at_every_send() -> None:
    met: list[type] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        for _ in range(4):
            try:
                await send(body(b"x", more_body=True))
            except OSError as error:
                met.append(type(error))

    async with Exchange(BridgeMiddleware(app, limits=Limits(write_timeout=SOON))) as exchange:
        exchange.resume_send(messages=3)
        outcome = await exchange.wait_closed()
    assert met == [WriteTimeout, WriteTimeout]
    assert outcome.exception is not None
    assert not exchange.complete


async def test_last_message_has_its_timeout_too() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"x", more_body=True))
        await send(body(b"x"))

    async with Exchange(BridgeMiddleware(app, limits=Limits(write_timeout=SOON))) as exchange:
        await exchange.end_body()
        exchange.resume_send(messages=2)
        await exchange.wait_closed()
    assert ending(exchange) == (AppState.RAISED, WriteTimeout)


async def test_send_that_is_stuck_ends_with_the_client(log: pytest.LogCaptureFixture) -> None:
    met: list[type] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await endless(scope, receive, send)
        except OSError as error:
            met.append(type(error))
            raise

    async with Exchange(BridgeMiddleware(app)) as exchange:
        exchange.resume_send(messages=3)
        await exchange.end_body()
        await exchange.until_sent(3)
        exchange.disconnect()
        exchange.stall_send()
        await exchange.wait_closed()
    assert met == [ClientDisconnected]
    assert ending(exchange) == (AppState.RETURNED, None)
    assert len(lines(log)) == 1


# A framework's own limit.


async def test_status_of_the_framework_stands() -> None:
    async def limited(request: Request) -> Response:
        if len(await request.body()) > 3:
            return JSONResponse({"error": "too long"}, status_code=413)
        return PlainTextResponse("ok")

    async with Exchange(BridgeMiddleware(starlette(limited), limits=SMALL)) as exchange:
        await exchange.end_body(b"abcd")
        await exchange.until_sent(2)
    assert (exchange.status, exchange.body) == (413, b'{"error":"too long"}')
    assert BodyTooSlow.status_code == ReadTimeout.status_code
