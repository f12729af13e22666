"""BridgeMiddleware: what a server sees of an application's response."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest

from asgi_bridge import BridgeMiddleware, ClientDisconnected, open_body
from asgi_bridge.errors import ResponseOrderError
from asgi_bridge.testing import DISCONNECT, AppState, Exchange, body, request, start
from asgi_bridge.types import ASGIApp, Message, Receive, Scope, Send

from .helpers import CHUNKED, Counted, ending, lines, raiser, sender, settled

pytestmark = pytest.mark.anyio

HINT: Message = {"type": "http.response.early_hint", "links": [b"</a.css>"]}
PUSH: Message = {"type": "http.response.push", "path": "/a.css", "headers": []}
DEBUG: Message = {"type": "http.response.debug", "info": {}}
FUTURE: Message = {"type": "http.response.x-future", "key": 1}
PATHSEND: Message = {"type": "http.response.pathsend", "path": "/file"}
ZEROCOPY: Message = {"type": "http.response.zerocopysend", "file": 3, "more_body": False}
WITH_TRAILERS: Message = {**start(), "trailers": True}
TRAILERS: Message = {"type": "http.response.trailers", "headers": [], "more_trailers": False}
EVENTS = start(200, [(b"Content-Type", b"Text/Event-Stream; charset=utf-8")])
EVENTS_TOO = start(
    200,
    [
        (b"content-type", b"text/event-stream"),
        (b"content-type", b"text/x"),
        (b"content-length", b"9"),
    ],
)
EXPECT = [(b"expect", b"100-continue")]


def pickled(scope: Scope) -> Scope:
    """A copy of the scope that was a pickle in between."""
    copied: Scope = pickle.loads(pickle.dumps(scope))
    return copied


PASSED_ON: dict[str, list[Message]] = {
    "whole": [start(200, [(b"a", b"b")]), body(b"abc")],
    "empty": [start(), body()],
    "204": [start(204), body()],
    "304": [start(304), body()],
    "stream": [start(), body(b"a", more_body=True), body(b"b", more_body=True), body()],
    "flushed head": [start(), body(b"", more_body=True), body(b"a")],
    "event stream": [EVENTS, body(b"data: 1\n\n", more_body=True), body()],
    "hint first": [HINT, start(), body()],
    "extensions in the stream": [start(), body(more_body=True), PUSH, FUTURE, body()],
    "pathsend": [start(), PATHSEND],
    "zerocopysend": [start(), ZEROCOPY],
    "trailers": [WITH_TRAILERS, body(b"a", more_body=True), body(b"b"), TRAILERS],
    "trailers without a body": [WITH_TRAILERS, TRAILERS],
    "nothing": [],
    "extensions alone": [HINT, DEBUG],
}


@pytest.mark.parametrize("messages", PASSED_ON.values(), ids=PASSED_ON)
async def test_response_is_passed_on(messages: list[Message]) -> None:
    exchange = Exchange(BridgeMiddleware(sender(*messages)))
    assert await exchange.run() == messages
    assert exchange.receive_cancellations == 0


@pytest.mark.parametrize(
    ("messages", "released"),
    [
        ([start()], []),
        ([start(), HINT, DEBUG, FUTURE], [HINT, DEBUG, FUTURE]),
        ([start(), body(more_body=True)], [start(), body(more_body=True)]),
        ([start(), body(b"a", more_body=True)], [start(), body(b"a", more_body=True)]),
        ([EVENTS], [EVENTS]),
        ([EVENTS_TOO], [EVENTS_TOO]),
        ([WITH_TRAILERS], []),
    ],
    ids=["start", "extensions", "empty body", "body", "event stream", "one of two", "trailers"],
)
async def test_start_is_held_until_there_is_content(
    messages: list[Message], released: list[Message]
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await sender(*messages)(scope, receive, send)
        await anyio.sleep_forever()

    async with Exchange(BridgeMiddleware(app)) as exchange:
        await settled()
        assert exchange.sent == released
        exchange.cancel()
        await exchange.wait_closed()
    assert exchange.sent == released


async def test_app_that_returns_with_a_held_start_has_answered() -> None:
    assert await Exchange(BridgeMiddleware(sender(start(204)))).run() == [start(204), body()]


async def test_start_of_another_header_list_each_time() -> None:
    headers = [(b"a", b"b")]
    app = BridgeMiddleware(sender(start(200, headers), body(b"a")))
    for _ in range(2):
        assert await Exchange(app).run() == [start(200, [(b"a", b"b")]), body(b"a")]
    assert headers == [(b"a", b"b")]


@pytest.mark.parametrize(
    ("messages", "sent"),
    [
        ([], []),
        ([start()], []),
        ([HINT, start()], [HINT]),
        ([start(), body(b"a", more_body=True)], [start(), body(b"a", more_body=True)]),
        ([start(), body(b"a")], [start(), body(b"a")]),
    ],
    ids=["at once", "start held", "hint", "streaming", "complete"],
)
async def test_app_that_raises(messages: list[Message], sent: list[Message]) -> None:
    error = ValueError("the app's")
    exchange = Exchange(BridgeMiddleware(raiser(error, *messages)))
    with pytest.raises(ValueError, match="the app's") as caught:
        await exchange.run()
    assert caught.value is error
    assert exchange.sent == sent


@pytest.mark.parametrize(
    "messages",
    [[start(), body(b"a", more_body=True)], [EVENTS]],
    ids=["streaming", "event stream"],
)
async def test_app_that_returns_in_the_middle_is_left_to_the_server(
    messages: list[Message],
) -> None:
    """Servers cut it, and say so in a line; sse-starlette returns like that at a shutdown."""
    exchange = Exchange(BridgeMiddleware(sender(*messages)))
    assert await exchange.run() == messages
    assert not exchange.complete


@pytest.mark.parametrize(
    "trailers", [[], [{**TRAILERS, "more_trailers": True}]], ids=["none", "not all"]
)
async def test_trailers_that_never_came_are_left_to_the_server(trailers: list[Message]) -> None:
    messages = [WITH_TRAILERS, body(b"a"), *trailers]
    exchange = Exchange(BridgeMiddleware(sender(*messages)))
    assert await exchange.run() == messages
    assert not exchange.complete


@pytest.mark.parametrize(
    ("messages", "sent"),
    [
        ([body()], []),
        ([start(), start()], []),
        ([start(), body(more_body=True), start()], [start(), body(more_body=True)]),
        ([start(), body(), body()], [start(), body()]),
    ],
    ids=["body first", "two starts", "start in the stream", "body after the last"],
)
async def test_messages_out_of_order(messages: list[Message], sent: list[Message]) -> None:
    exchange = Exchange(BridgeMiddleware(sender(*messages)))
    with pytest.raises(ResponseOrderError):
        await exchange.run()
    assert exchange.sent == sent


# Scopes.


ASGI: dict[str, dict[str, Any] | None] = {
    "no asgi": None,
    "no version": {"version": "3.0"},
    "2.3": {"version": "3.0", "spec_version": "2.3", "x": 1},
    "nothing": {},
    "2": {"version": "3.1", "spec_version": "2"},
    "none": {"version": "3.0", "spec_version": ""},
}
PROMISED: dict[str, dict[str, Any]] = {
    "2.10": {"version": "3.0", "spec_version": "2.10"},
    "2.4": {"spec_version": "2.4"},
    "2.5": {"spec_version": "2.5"},
}


def with_asgi(exchange: Exchange, asgi: dict[str, Any] | None) -> Scope:
    """Give an exchange's scope this `asgi`; the scope."""
    exchange.scope.pop("asgi")
    if asgi is not None:
        exchange.scope["asgi"] = asgi
    return exchange.scope


def version(scope: Scope) -> Any:
    """What a framework sees: Starlette looks like this."""
    return scope.get("asgi", {}).get("spec_version")


@pytest.mark.parametrize("asgi", [*ASGI.values(), *PROMISED.values()], ids=[*ASGI, *PROMISED])
@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_scope_is_the_server_s_own(method: str, asgi: dict[str, Any] | None) -> None:
    """And what the application writes into it is seen by whoever is around the bridge."""
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        scope["path"] = "changed"
        scope["route"] = "ours"
        assert exchange.scope["route"] == "ours"
        await send(start())
        await send(body())

    exchange = Exchange(BridgeMiddleware(app), method=method, extensions={"x": {}})
    scope = with_asgi(exchange, asgi)
    before, given_asgi = copy.deepcopy(scope), copy.deepcopy(asgi)
    await exchange.run()
    assert seen[0] is scope
    assert scope == {**before, "path": "changed", "route": "ours"}
    assert asgi == given_asgi


@pytest.mark.parametrize("asgi", ASGI.values(), ids=ASGI)
async def test_app_is_told_of_2_4_while_its_body_is_unread(
    asgi: dict[str, Any] | None,
) -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(version(scope))
        assert (await receive())["more_body"]
        seen.append(version(scope))
        await receive()
        seen.append(version(scope))
        await send(start())
        await send(body())

    script = [request(b"a", more_body=True), request(b"b")]
    exchange = Exchange(BridgeMiddleware(app), headers=CHUNKED, receive=script)
    own = (asgi or {}).get("spec_version")
    with_asgi(exchange, asgi)
    await exchange.run()
    assert seen == ["2.4", "2.4", own]


@pytest.mark.parametrize("asgi", [*ASGI.values(), *PROMISED.values()], ids=[*ASGI, *PROMISED])
async def test_app_without_a_body_is_told_what_the_server_says(asgi: dict[str, Any] | None) -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(version(scope))
        await send(start())
        await send(body())

    exchange = Exchange(BridgeMiddleware(app), method="GET")
    with_asgi(exchange, asgi)
    await exchange.run()
    assert seen == [(asgi or {}).get("spec_version")]


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_app_whose_send_is_to_raise_is_told_of_asgi_2_4(method: str) -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(version(scope))
        await receive()
        seen.append(version(scope))
        await send(start())
        await send(body())

    app = BridgeMiddleware(app, raise_on_disconnect=True)
    exchange = Exchange(app, method=method, receive=[request(b"")])
    await exchange.run()
    assert seen == ["2.4", "2.4"]
    assert exchange.scope["asgi"]["spec_version"] == "2.3"


async def test_inner_bridge_asks_the_outer_one_to_raise() -> None:
    inner = BridgeMiddleware(streams_on, raise_on_disconnect=True)
    async with Exchange(BridgeMiddleware(inner), headers=CHUNKED) as exchange:
        await exchange.send_chunk(b"ab")
        await exchange.until_sent(2)
        exchange.disconnect()
        await exchange.wait_closed()
    assert ending(exchange) == (AppState.RETURNED, None)
    assert exchange.sent == [start(), body(b"a", more_body=True)]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled], ids=lambda f: f.__name__)
@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_copy_of_the_scope_leads_to_the_same_exchange(
    method: str, copied: Callable[[Scope], Scope]
) -> None:
    seen: list[bytes] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reader = open_body(copied(scope))
        seen.append(await anyio.to_thread.run_sync(reader.read))
        await send(start())
        await send(body())

    exchange = Exchange(BridgeMiddleware(app), method=method, receive=[request(b"abc")])
    await exchange.run()
    assert seen == [b"abc"]


async def test_headers_that_can_be_iterated_once_are_kept() -> None:
    seen: list[list[tuple[bytes, bytes]]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(list(scope["headers"]))
        seen.append(list(scope["headers"]))
        await send(start())
        await send(body())

    exchange = Exchange(BridgeMiddleware(app), receive=[request(b"")])
    exchange.scope["headers"] = iter([(b"x-a", b"1"), (b"content-length", b"0")])
    await exchange.run()
    assert seen == [[(b"x-a", b"1"), (b"content-length", b"0")]] * 2


@pytest.mark.parametrize("type_", ["websocket", "x-future"])
async def test_other_scopes_are_none_of_our_business(type_: str) -> None:
    seen: list[tuple[Scope, Receive, Send]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope, receive, send))

    async def receive() -> Message:
        raise AssertionError("nobody calls it")

    async def send(message: Message) -> None:
        raise AssertionError("nobody calls it")

    scope = {"type": type_}
    await BridgeMiddleware(app)(scope, receive, send)
    (given,) = seen
    assert given[0] is scope
    assert given[1:] == (receive, send)


async def test_app_of_asgi_2_has_two_calls() -> None:
    class Double:
        def __init__(self, scope: Scope) -> None:
            self._scope = scope

        async def __call__(self, receive: Receive, send: Send) -> None:
            await sender(start(), body(self._scope["path"].encode()))({}, receive, send)

    exchange = Exchange(BridgeMiddleware(Double), path="/p")
    assert await exchange.run() == [start(), body(b"/p")]


# The client leaves.


async def until_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def streams_on(scope: Scope, receive: Receive, send: Send) -> None:
    """Notices the disconnect, and sends on."""
    await send(start())
    await send(body(b"a", more_body=True))
    await until_disconnect(receive)
    await send(body(b"b", more_body=True))


async def wraps(scope: Scope, receive: Receive, send: Send) -> None:
    """Puts an error of its own in the place of ours."""
    try:
        await streams_on(scope, receive, send)
    except OSError:
        raise LookupError("the framework's own") from None


async def groups(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends in a task of its own."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(streams_on, scope, receive, send)


async def run_beside_a_departure(
    app: ASGIApp, *, raises: bool
) -> tuple[Exchange, list[type[BaseException]]]:
    """The client leaves between two messages of the body; and what the app's sends raised."""
    seen: list[type[BaseException]] = []

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        async def noting_send(message: Message) -> None:
            try:
                await send(message)
            except OSError as error:
                seen.append(type(error))
                raise

        await app(scope, receive, noting_send)

    async with Exchange(BridgeMiddleware(noting, raise_on_disconnect=raises)) as exchange:
        await exchange.send_chunk(b"ab")
        await exchange.until_sent(2)
        exchange.disconnect()
        await exchange.wait_closed()
    assert exchange.sent == [start(), body(b"a", more_body=True)]
    return exchange, seen


@pytest.mark.parametrize("app", [streams_on, wraps, groups])
async def test_send_after_the_disconnect_returns(
    app: ASGIApp, log: pytest.LogCaptureFixture
) -> None:
    """As it does on every server of today, and the rest is the application's business."""
    exchange, seen = await run_beside_a_departure(app, raises=False)
    assert seen == []
    assert lines(log) == [("WARNING", "PUT /: the client went away after 2 bytes of body")]
    assert ending(exchange) == (AppState.RETURNED, None)


@pytest.mark.parametrize("app", [streams_on, groups])
async def test_send_after_the_disconnect_raises_where_that_is_asked_for(
    app: ASGIApp, log: pytest.LogCaptureFixture
) -> None:
    exchange, seen = await run_beside_a_departure(app, raises=True)
    assert seen == [ClientDisconnected]
    assert ending(exchange) == (AppState.RETURNED, None)
    assert lines(log) == [("WARNING", "PUT /: the client went away after 2 bytes of body")]


async def test_failure_that_a_departure_led_to_is_a_failure() -> None:
    exchange, _ = await run_beside_a_departure(wraps, raises=True)
    assert ending(exchange) == (AppState.RAISED, LookupError)


async def test_app_that_fails_by_itself_after_the_disconnect_has_failed() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await until_disconnect(receive)
        raise ValueError("the app's")

    with pytest.raises(ValueError, match="the app's"):
        await Exchange(BridgeMiddleware(app), receive=[DISCONNECT]).run()


async def test_app_that_stops_at_the_disconnect_is_done(log: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"a", more_body=True))
        await until_disconnect(receive)

    exchange = Exchange(BridgeMiddleware(app), receive=[DISCONNECT])
    assert await exchange.run() == [start(), body(b"a", more_body=True)]
    assert lines(log) == [("WARNING", "PUT /: the client went away after 0 bytes of body")]


async def test_held_start_of_a_client_that_left_goes_nowhere() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await until_disconnect(receive)

    assert await Exchange(BridgeMiddleware(app), receive=[DISCONNECT]).run() == []


async def test_disconnect_is_noticed_by_an_app_that_does_not_ask() -> None:
    """Else an endless producer would go on for a client that is not there."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        while True:
            await send(body(b"a", more_body=True))

    async with Exchange(BridgeMiddleware(app)) as exchange:
        await exchange.end_body()
        await exchange.until_sent(2)
        exchange.disconnect()
        await exchange.wait_closed()
    assert ending(exchange) == (AppState.RETURNED, None)


async def test_send_of_the_server_that_raises_an_os_error(log: pytest.LogCaptureFixture) -> None:
    seen: list[type[BaseException]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        try:
            await send(body(b"a"))
        except OSError as error:
            seen.append(type(error))
            raise

    exchange = Exchange(BridgeMiddleware(app))
    exchange.fail_send(BrokenPipeError("it has left"))
    assert await exchange.run() == []
    assert seen == [BrokenPipeError]
    assert lines(log) == [("INFO", "PUT /: the client went away: it has left")]


async def test_os_error_of_a_server_that_promises_to_raise_comes_back_to_it() -> None:
    """ASGI HTTP 2.4: it knows what its own exception means."""
    gone = type("Gone", (OSError,), {})("the server's own")
    exchange = Exchange(BridgeMiddleware(sender(start(), body(b"a"))), spec_version="2.4")
    exchange.fail_send(gone)
    with pytest.raises(OSError, match="the server's own") as caught:
        await exchange.run()
    assert caught.value is gone


async def test_send_of_the_server_that_raises_something_else() -> None:
    exchange = Exchange(BridgeMiddleware(sender(start(), body(b"a"))))
    exchange.fail_send(LookupError("the server's"))
    with pytest.raises(LookupError, match="the server's"):
        await exchange.run()
    assert exchange.sent == []


# The upload.


async def test_early_answer_takes_the_upload_in_before_its_last_message() -> None:
    record: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(start())
        await send(body(b"early"))

    async with Exchange(Counted(BridgeMiddleware(app), record)) as exchange:
        await exchange.send_chunk(b"a")
        await exchange.send_chunk(b"b")
        await exchange.until_receiving()
        assert exchange.sent == []
        await exchange.end_body()
    assert exchange.sent == [start(), body(b"early")]
    assert exchange.undelivered == 0
    assert record == [*["receive"] * 3, "start", "body"]


async def test_success_that_streams_before_it_reads_invites_the_body_first() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"a", more_body=True))
        await send(body((await receive())["body"]))

    record: list[str] = []
    exchange = Exchange(
        Counted(BridgeMiddleware(app), record), headers=EXPECT, receive=[request(b"b")]
    )
    assert await exchange.run() == [start(), body(b"a", more_body=True), body(b"b")]
    assert record.index("receive") < record.index("start")


async def test_refusal_without_a_read_invites_no_body() -> None:
    record: list[str] = []
    app = sender(start(403), body(b"a", more_body=True), body(b"b"))
    exchange = Exchange(Counted(BridgeMiddleware(app), record), headers=EXPECT)
    await exchange.run()
    assert record == ["start", "body", "body"]


async def test_app_that_does_not_read_costs_no_receive() -> None:
    record: list[str] = []
    app = sender(start(), body(b"a"))
    await Exchange(Counted(BridgeMiddleware(app), record)).run()
    assert record == ["start", "body"]
