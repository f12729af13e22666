"""BridgeMiddleware: a body as long as declared, in messages of a bounded size, and its turns."""

from contextlib import suppress
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asgi_bridge import BridgeMiddleware, LengthMismatch, Limits
from asgi_bridge.testing import AppState, Exchange, body, scope_for, start
from asgi_bridge.types import ASGIApp, Message, Receive, Scope, Send

from .helpers import Counted, ending, raiser, sender, settled

pytestmark = pytest.mark.anyio


def length(size: int, status: int = 200) -> Message:
    return start(status, [(b"Content-Length", b"%d" % size)])


def plain(size: bytes, status: int = 200) -> Message:
    """What most frameworks send: both headers, in small letters."""
    return start(status, [(b"content-type", b"text/plain"), (b"content-length", size)])


PATHSEND: Message = {"type": "http.response.pathsend", "path": "/file"}

# A server that passes on whatever it is given, and is known by this offer.
LENIENT: dict[str, Any] = {"extensions": {"http.response.pathsend": {}}}

KEPT: dict[str, list[Message]] = {
    "as declared": [length(3), body(b"abc")],
    "in chunks": [length(3), body(b"a", more_body=True), body(b"bc")],
    "empty end": [length(3), body(b"abc", more_body=True), body()],
    "nothing declared": [length(0), body()],
    "304": [length(3, 304), body()],
    "204": [length(3, 204), body()],
    "a file": [length(3), PATHSEND],
    "plain": [plain(b"3"), body(b"abc")],
    "plain, in chunks": [plain(b"3"), body(b"a", more_body=True), body(b"bc")],
    "plain, with zeros": [plain(b"003"), body(b"abc")],
    "plain, 304": [plain(b"3", 304), body()],
    "plain, not a number": [plain(b"abc"), body(b"a")],
    "not a number": [start(200, [(b"content-length", b"abc")]), body(b"a")],
}

TWICE_IN_CAPITALS = start(200, [*plain(b"4")["headers"], (b"Content-Length", b"3")])

BROKEN: dict[str, tuple[list[Message], list[Message], int]] = {
    "too long at once": ([length(3), body(b"abcd")], [], 4),
    "too short at once": ([length(3), body(b"ab")], [], 2),
    "empty": ([length(3), body()], [], 0),
    "plain, too long": ([plain(b"3"), body(b"abcd")], [], 4),
    "twice, in capitals": ([TWICE_IN_CAPITALS, body(b"abcd")], [], 4),
    "plain, too short": ([plain(b"3"), body(b"ab")], [], 2),
    "too long in chunks": (
        [length(3), body(b"ab", more_body=True), body(b"cd")],
        [length(3), body(b"ab", more_body=True)],
        4,
    ),
    "too long before its end": (
        [length(3), body(b"ab", more_body=True), body(b"cd", more_body=True)],
        [length(3), body(b"ab", more_body=True)],
        4,
    ),
    "too short in chunks": (
        [length(3), body(b"ab", more_body=True), body()],
        [length(3), body(b"ab", more_body=True)],
        2,
    ),
}


@pytest.mark.parametrize("messages", KEPT.values(), ids=KEPT)
async def test_body_that_keeps_its_promise_is_passed_on(messages: list[Message]) -> None:
    exchange = Exchange(BridgeMiddleware(sender(*messages)))
    assert await exchange.run() == messages


async def test_head_has_a_length_and_no_body() -> None:
    messages = [length(3), body()]
    exchange = Exchange(BridgeMiddleware(sender(*messages)), method="HEAD")
    assert await exchange.run() == messages


@pytest.mark.parametrize("head", [start(), length(3), length(2)], ids=["open", "true", "false"])
async def test_body_that_answers_a_head_is_not_passed_on(head: Message) -> None:
    parts = [body(b"ab", more_body=True), body(more_body=True), body(b"c")]
    limits = Limits(message_bytes=1)  # its bytes are not cut into pieces, either
    app = BridgeMiddleware(sender(head, *parts), limits=limits)
    exchange = Exchange(app, method="HEAD", **LENIENT)
    assert await exchange.run() == [head, body(more_body=True), body(more_body=True), body()]
    assert parts[0]["body"] == b"ab"


async def test_body_that_answers_a_head_is_the_server_s_business() -> None:
    messages = [start(), body(b"ab", more_body=True), body(b"c")]
    assert await Exchange(BridgeMiddleware(sender(*messages)), method="HEAD").run() == messages


@pytest.mark.parametrize(("messages", "passed_on", "size"), BROKEN.values(), ids=BROKEN)
async def test_body_that_breaks_its_promise_is_an_error_where_the_server_would_pass_it_on(
    messages: list[Message], passed_on: list[Message], size: int
) -> None:
    exchange = Exchange(BridgeMiddleware(sender(*messages)), **LENIENT)
    with pytest.raises(LengthMismatch) as caught:
        await exchange.run()
    assert (caught.value.sent, caught.value.declared) == (size, 3)
    assert exchange.sent == passed_on
    assert ending(exchange) == (AppState.RAISED, LengthMismatch)


@pytest.mark.parametrize("messages", [case[0] for case in BROKEN.values()], ids=BROKEN)
async def test_body_that_breaks_its_promise_is_the_server_s_business(
    messages: list[Message],
) -> None:
    """Most refuse it, in ways of their own; daphne does not, and is known by its scope."""
    assert await Exchange(BridgeMiddleware(sender(*messages))).run() == messages
    daphne = scope_for(spec_version=None)
    daphne["client"] = ["127.0.0.1", 1234]
    with pytest.raises(LengthMismatch):
        await Exchange(BridgeMiddleware(sender(*messages)), daphne).run()


async def test_start_without_its_body_is_an_error() -> None:
    exchange = Exchange(BridgeMiddleware(sender(length(3))), **LENIENT)
    with pytest.raises(LengthMismatch):
        await exchange.run()
    assert exchange.sent == []


async def test_start_without_its_body_is_left_to_the_server() -> None:
    assert await Exchange(BridgeMiddleware(sender(length(3)))).run() == []


# Large messages.


@pytest.mark.parametrize("more_body", [False, True])
async def test_large_message_is_split(more_body: bool) -> None:
    whole = bytes(range(10))
    messages = [start(), {**body(whole, more_body=more_body), "x": 1}]
    if more_body:
        messages.append(body())
    exchange = Exchange(BridgeMiddleware(sender(*messages), limits=Limits(message_bytes=4)))
    pieces = [
        {**body(whole[:4], more_body=True), "x": 1},
        {**body(whole[4:8], more_body=True), "x": 1},
        {**body(whole[8:], more_body=more_body), "x": 1},
    ]
    assert await exchange.run() == [start(), *pieces, *messages[2:]]


async def test_rest_of_a_large_message_is_not_sent_to_a_client_that_has_left() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(bytes(1024 * 1024)))

    async with Exchange(BridgeMiddleware(app)) as exchange:
        exchange.stall_send()
        await exchange.until_sending()
        exchange.disconnect()
        await settled()
        exchange.resume_send()
    assert ending(exchange) == (AppState.RETURNED, None)
    assert not exchange.complete


async def test_large_refusal_of_an_upload_that_was_not_invited_invites_none() -> None:
    record: list[str] = []
    bridge = BridgeMiddleware(sender(start(417), body(b"no" * 4)), limits=Limits(message_bytes=4))
    exchange = Exchange(Counted(bridge, record), headers=[(b"expect", b"100-continue")])
    await exchange.run()
    assert exchange.body == b"no" * 4
    assert record == ["start", "body", "body"]


# Turns.


@pytest.mark.parametrize("size", [1, 64 * 1024], ids=["tiny", "large"])
async def test_other_tasks_have_their_turn_although_no_send_waits(size: int) -> None:
    turns: list[int] = []
    sent = 0

    async def other() -> None:
        while True:
            await anyio.lowlevel.checkpoint()
            turns.append(sent)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send(start())
        for _ in range(200):
            await send(body(bytes(size), more_body=True))
            sent += 1
        await send(body())

    async def server_send(message: Message) -> None:
        pass

    async def server_receive() -> Message:
        await anyio.sleep_forever()
        raise AssertionError

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        bridged = BridgeMiddleware(app, limits=Limits(drain_timeout=0.0))
        await bridged(scope_for(), server_receive, server_send)
        tasks.cancel_scope.cancel()
    assert len({at for at in turns if 0 < at < 200}) >= 2


# An upload that the application never asked for.

UPLOADS: dict[str, tuple[str, str, list[tuple[bytes, bytes]], bool]] = {
    "with a length": ("POST", "1.1", [(b"content-length", b"5")], True),
    "a GET with a length": ("GET", "1.1", [(b"content-length", b"5")], True),
    "chunked": ("POST", "1.1", [(b"transfer-encoding", b"chunked")], True),
    "HTTP/2": ("POST", "2", [], True),
    "of no bytes": ("POST", "1.1", [(b"content-length", b"0")], False),
    "not announced": ("POST", "1.1", [], False),
    "a GET": ("GET", "1.1", [], False),
    "a GET, HTTP/2": ("GET", "2", [], False),
    "not invited": (
        "POST",
        "1.1",
        [(b"content-length", b"5"), (b"expect", b"100-continue")],
        False,
    ),
}


@pytest.mark.parametrize(("method", "version", "headers", "drained"), UPLOADS.values(), ids=UPLOADS)
async def test_upload_that_nobody_asked_for_is_drained_before_the_end(
    method: str, version: str, headers: list[tuple[bytes, bytes]], drained: bool
) -> None:
    record: list[str] = []
    app = Counted(BridgeMiddleware(sender(start(), body(b"no"))), record)
    scope = {**scope_for(method=method, headers=headers), "http_version": version}
    exchange = Exchange(app, scope)
    await exchange.run()
    assert (exchange.body, exchange.complete) == (b"no", True)
    assert record == (["receive"] if drained else []) + ["start", "body"]


NO = ValueError("no")
UNANSWERED: dict[str, ASGIApp] = {
    "raises": raiser(NO),
    "raises, start held": raiser(NO, start()),
    "returns": sender(),
}


@pytest.mark.parametrize("app", UNANSWERED.values(), ids=UNANSWERED)
@pytest.mark.parametrize(("method", "version", "headers", "drained"), UPLOADS.values(), ids=UPLOADS)
async def test_upload_is_drained_before_the_server_answers_a_failure(
    method: str, version: str, headers: list[tuple[bytes, bytes]], drained: bool, app: ASGIApp
) -> None:
    record: list[str] = []
    scope = {**scope_for(method=method, headers=headers), "http_version": version}
    with suppress(ValueError):
        await Exchange(Counted(BridgeMiddleware(app), record), scope).run()
    assert record == (["receive"] if drained else [])


async def test_upload_is_not_drained_after_a_failure_midway() -> None:
    app = BridgeMiddleware(
        raiser(NO, length(5), body(b"a", more_body=True)), limits=Limits(drain_timeout=60)
    )
    async with Exchange(app, headers=[(b"content-length", b"5")]) as exchange:
        await exchange.send_chunk(b"a")
        await exchange.wait_closed()
    assert ending(exchange) == (AppState.RAISED, ValueError)
