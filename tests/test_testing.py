"""The scripted exchange, driven by apps small enough to be read at a glance."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asgi_bridge import testing
from asgi_bridge.testing import (
    DISCONNECT,
    AppState,
    Exchange,
    Outcome,
    Scripted,
    body,
    request,
    scope_for,
    start,
)
from asgi_bridge.types import ASGIApp, Message, Receive, Scope, Send

pytestmark = pytest.mark.anyio

GONE: Message = {"type": "http.disconnect"}
ANNOUNCING: Message = {**start(), "trailers": True}


# Apps.


async def upper(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer each chunk at once, in upper case."""
    await send(start())
    more_body = True
    while more_body:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more_body = message["more_body"]
        await send(body(message["body"].upper(), more_body=more_body))


async def endless(scope: Scope, receive: Receive, send: Send) -> None:
    """Send numbered chunks for ever."""
    await send(start())
    number = 0
    while True:
        await send(body(b"%d" % number, more_body=True))
        number += 1


async def listener(scope: Scope, receive: Receive, send: Send) -> None:
    """Wait for one message and return without an answer."""
    await receive()


def sender(*messages: Message) -> ASGIApp:
    """Make an app that sends these and returns."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


def raiser(error: BaseException, *messages: Message) -> ASGIApp:
    """Make an app that sends these and raises."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await sender(*messages)(scope, receive, send)
        raise error

    return app


class Collector:
    """An app that receives a number of times and keeps what came, errors too."""

    def __init__(self, count: int) -> None:
        self.came: list[Message | Exception] = []
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(self._count):
            try:
                self.came.append(await receive())
            except ValueError as exc:
                self.came.append(exc)


# The module.


def test_all_lists_every_public_name() -> None:
    modules = {"ends", "exchange", "expecting", "messages", "task", "view"}
    public = {name for name in vars(testing) if not name.startswith("_")} - modules
    assert public == set(testing.__all__)


# Imports the module in a package that runs no __init__ of ours, and prints what came with it.
BARE_IMPORT = """
import sys, types
package = sys.modules["asgi_bridge"] = types.ModuleType("asgi_bridge")
package.__path__ = [sys.argv[1]]
import asgi_bridge.testing
names = {name.split(".")[1] for name in sys.modules if name.startswith("asgi_bridge.")}
print(*sorted(names))
"""


def test_module_needs_nothing_else_of_the_package() -> None:
    path = Path(testing.__file__).parents[1]
    command = [sys.executable, "-W", "error", "-c", BARE_IMPORT, str(path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (result.stdout.split(), result.stderr) == (["testing", "types"], "")


# Scopes.


def test_scope_is_a_put_by_default() -> None:
    assert Exchange(upper).scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "PUT",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "headers": [],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
    }


def test_scope_takes_options() -> None:
    state = {"pool": object()}
    scope = scope_for(
        method="GET",
        path="/grün/a b",
        query_string=b"x=1",
        headers=[(b"host", b"h")],
        spec_version=None,
        extensions={"http.response.trailers": {}},
        state=state,
    )
    assert scope["asgi"] == {"version": "3.0"}
    assert (scope["method"], scope["path"]) == ("GET", "/grün/a b")
    assert scope["raw_path"] == b"/gr%C3%BCn/a%20b"
    assert (scope["query_string"], scope["headers"]) == (b"x=1", [(b"host", b"h")])
    assert scope["extensions"] == {"http.response.trailers": {}}
    assert scope["state"] == state
    assert scope["state"] is not state


async def test_app_is_called_with_the_scope_and_its_changes() -> None:
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope["path"], scope["client"]))

    given = scope_for(path="/x")
    exchange = Exchange(app, given)
    exchange.scope["client"] = None
    await exchange.run()
    assert seen == [("/x", None)]
    assert given["client"] is not None


def test_scope_and_options_do_not_mix() -> None:
    with pytest.raises(TypeError, match="parts of one were given: method, path"):
        Exchange(upper, scope_for(), method="GET", path="/")


# Whole scripts.


async def test_script_in_and_whole_answer_out() -> None:
    exchange = Exchange(upper, receive=[request(b"ab", more_body=True), request(b"c")])
    sent = await exchange.run()
    assert sent == [start(), body(b"AB", more_body=True), body(b"C")]
    assert exchange.sent == sent
    assert exchange.outcome == Outcome(AppState.RETURNED)


async def test_run_without_a_script_sends_an_empty_body() -> None:
    assert await Exchange(upper).run() == [start(), body()]


async def test_views_before_and_after() -> None:
    message = start(418, [(b"content-length", b"2")])
    exchange = Exchange(sender(message, body(b"a", more_body=True), body(b"b")))
    assert (exchange.status, exchange.headers, exchange.body) == (None, [], b"")
    assert not exchange.complete
    assert exchange.outcome == Outcome(AppState.CREATED)
    await exchange.run()
    assert (exchange.status, exchange.headers) == (418, [(b"content-length", b"2")])
    assert exchange.body == b"ab"
    assert exchange.complete


async def test_script_stays_as_it_was() -> None:
    async def vandal(scope: Scope, receive: Receive, send: Send) -> None:
        (await receive()).clear()

    script: list[Scripted] = [request(b"a"), DISCONNECT]
    await Exchange(vandal, receive=script).run()
    assert script == [request(b"a"), DISCONNECT]


async def test_record_is_a_copy() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [[b"a", b"1"]]
        buffer = bytearray(b"x")
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        headers[0][1] = b"2"
        await send({"type": "http.response.body", "body": memoryview(buffer), "more_body": True})
        buffer[:] = b"y"
        await send({"type": "http.response.body", "body": buffer})
        buffer.clear()

    assert await Exchange(app).run() == [
        start(200, [(b"a", b"1")]),
        body(b"x", more_body=True),
        body(b"y"),
    ]


async def test_record_fills_in_defaults_and_keeps_the_unknown() -> None:
    future: Message = {"type": "http.response.x-future", "colour": "blue"}
    app = sender(
        {"type": "http.response.start", "status": 200}, future, {"type": "http.response.body"}
    )
    assert await Exchange(app).run() == [start(200), future, body()]


async def test_body_must_be_bytes_like() -> None:
    with pytest.raises(TypeError, match="bytes-like"):
        await Exchange(sender(start(), {"type": "http.response.body", "body": "text"})).run()


@pytest.mark.parametrize(
    ("messages", "complete"),
    [
        ([], False),
        ([start()], False),
        ([start(), body(more_body=True)], False),
        ([start(), body()], True),
        ([start(), {"type": "http.response.pathsend", "path": "/x"}], True),
        ([start(), {"type": "http.response.zerocopysend", "file": 3, "more_body": True}], False),
        ([start(), {"type": "http.response.zerocopysend", "file": 3}], True),
        ([ANNOUNCING, body()], False),
        ([ANNOUNCING, body(), {"type": "http.response.trailers"}], True),
        (
            [
                ANNOUNCING,
                body(),
                {"type": "http.response.trailers", "more_trailers": True},
            ],
            False,
        ),
        ([start(), body(), {"type": "http.response.x-future"}], True),
    ],
)
async def test_what_completes_a_response(messages: list[Message], complete: bool) -> None:
    exchange = Exchange(sender(*messages))
    await exchange.run()
    assert exchange.complete is complete


# receive().


async def test_disconnect_is_told_for_ever() -> None:
    app = Collector(4)
    await Exchange(app, receive=[request(b"a", more_body=True), DISCONNECT]).run()
    assert app.came == [request(b"a", more_body=True), GONE, GONE, GONE]


async def test_disconnect_message_is_told_once() -> None:
    app = Collector(2)
    async with Exchange(app, receive=[dict(GONE)]) as exchange:
        await exchange.until_receiving()
        assert app.came == [GONE]
        exchange.disconnect()
    assert app.came == [GONE, GONE]


async def test_script_raises_its_errors_once() -> None:
    app = Collector(3)
    error = ValueError("from receive")
    await Exchange(app, receive=[request(more_body=True), error, DISCONNECT]).run()
    assert app.came == [request(more_body=True), error, GONE]


async def test_receive_blocks_until_the_response_is_complete() -> None:
    came: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def listen() -> None:
            came.append(await receive())
            came.append(await receive())

        await receive()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            await send(start())
            await anyio.lowlevel.checkpoint()
            assert came == []
            await send(body())

    exchange = Exchange(app)
    await exchange.run()
    assert came == [GONE, GONE]
    assert exchange.receive_cancellations == 0


async def test_rest_of_the_script_comes_before_the_disconnect() -> None:
    app = Collector(2)

    async def complete_first(scope: Scope, receive: Receive, send: Send) -> None:
        await sender(start(), body())(scope, receive, send)
        await app(scope, receive, send)

    await Exchange(complete_first, receive=[request(b"late")]).run()
    assert app.came == [request(b"late"), GONE]


async def test_nothing_follows_a_disconnect() -> None:
    with pytest.raises(ValueError, match="nothing follows DISCONNECT"):
        Exchange(upper, receive=[DISCONNECT, request()])
    exchange = Exchange(upper, receive=[DISCONNECT])
    with pytest.raises(ValueError, match="nothing follows DISCONNECT"):
        await exchange.send_chunk(b"a")
    with pytest.raises(ValueError, match="nothing follows DISCONNECT"):
        exchange.disconnect()


async def two_receives(scope: Scope, receive: Receive, send: Send) -> None:
    came: list[Message] = []

    async def listen() -> None:
        came.append(await receive())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        tasks.start_soon(listen)
    await send(body(b"".join(sorted(message["body"] for message in came))))


async def test_two_receives_at_once_are_refused() -> None:
    exchange = Exchange(two_receives)
    with pytest.raises(ExceptionGroup) as caught:
        await exchange.run()
    assert isinstance(caught.value.exceptions[0], RuntimeError)
    assert "two receives at once" in str(caught.value.exceptions[0])


async def test_two_receives_at_once_may_be_allowed() -> None:
    async with Exchange(two_receives, max_receives=2) as exchange:
        await exchange.until_receiving()
        await exchange.send_chunk(b"a")
        await exchange.send_chunk(b"b")
        assert await exchange.expect_chunk() == b"ab"


async def test_cancelled_receive_is_counted_and_loses_nothing() -> None:
    given_up = anyio.Event()

    async def impatient(scope: Scope, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener, scope, receive, send)
            await exchange.until_receiving()
            tasks.cancel_scope.cancel()
        given_up.set()
        await upper(scope, receive, send)

    async with Exchange(impatient) as exchange:
        await given_up.wait()
        assert exchange.receive_cancellations == 1
        await exchange.end_body(b"a")
        assert await exchange.expect_chunk() == b"A"


async def test_receive_cancelled_after_completion_is_not_counted() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener, scope, receive, send)
            await sender(start(), body())(scope, receive, send)
            tasks.cancel_scope.cancel()

    async with Exchange(app) as exchange:
        await exchange.expect_end()
    assert exchange.receive_cancellations == 0


async def test_fail_receive_comes_before_the_script() -> None:
    app = Collector(3)
    exchange = Exchange(app, receive=[request(b"a")])
    exchange.fail_receive(ValueError("next"))
    async with exchange:
        await exchange.until_receiving()
        assert exchange.undelivered == 0
        exchange.fail_receive(ValueError("pending"))
    assert [str(each) for each in app.came] == ["next", str(request(b"a")), "pending"]


# Full duplex.


async def test_step_by_step() -> None:
    async with Exchange(upper, timeout=1) as exchange:
        assert exchange.outcome == Outcome(AppState.RUNNING)
        await exchange.send_chunk(b"aa")
        assert await exchange.expect_chunk() == b"AA"
        await exchange.until_receiving()
        assert exchange.receives_pending == 1
        await exchange.send_chunk(b"bb")
        assert await exchange.expect_chunk() == b"BB"
        await exchange.end_body()
        await exchange.expect_end()
    assert exchange.body == b"AABB"


async def test_app_need_not_read_what_was_sent() -> None:
    async with Exchange(sender(start(), body())) as exchange:
        await exchange.send_chunk(b"a")
        await exchange.send_chunk(b"b")
        await exchange.expect_end()
        assert exchange.undelivered == 2
        exchange.disconnect()
        assert exchange.undelivered == 2


async def test_any_message_can_be_sent() -> None:
    app = Collector(1)
    async with Exchange(app) as exchange:
        await exchange.send_message({"type": "http.x-future"})
    assert app.came == [{"type": "http.x-future"}]


async def test_messages_one_by_one() -> None:
    async with Exchange(sender(start(201), body(b"a", more_body=True), body())) as exchange:
        assert await exchange.expect_start() == start(201)
        await exchange.until_sent(3)
        assert await exchange.expect_message() == body(b"a", more_body=True)
        assert await exchange.expect_message() == body()


async def test_bytes_across_chunks() -> None:
    chunks = [body(b"ab", more_body=True), body(more_body=True), body(b"cdef")]
    async with Exchange(sender(start(), *chunks)) as exchange:
        assert await exchange.expect_bytes(0) == b""
        assert await exchange.expect_bytes(3) == b"abc"
        assert await exchange.expect_bytes(1) == b"d"
        assert await exchange.expect_chunk() == b"ef"
        await exchange.expect_end()
    assert exchange.sent == [start(), *chunks]


async def test_disconnect_in_the_middle() -> None:
    async with Exchange(upper) as exchange:
        await exchange.send_chunk(b"a")
        assert await exchange.expect_chunk() == b"A"
        exchange.disconnect()
        assert await exchange.wait_closed() == Outcome(AppState.RETURNED)
    assert not exchange.complete


# send().


async def test_stalled_send_parks_and_goes_on() -> None:
    exchange = Exchange(endless)
    exchange.stall_send()
    async with exchange:
        await exchange.until_sending()
        assert (exchange.sends_pending, exchange.sent) == (1, [])
        exchange.resume_send(2)
        await exchange.until_sent(2)
        await exchange.until_sending()
        assert exchange.sent == [start(), body(b"0", more_body=True)]
        exchange.resume_send()
        await exchange.until_sent(100)
        exchange.cancel()
    assert exchange.outcome == Outcome(AppState.CANCELLED)


async def test_disconnect_lets_a_parked_send_go() -> None:
    async with Exchange(sender(start())) as exchange:
        exchange.stall_send()
        await exchange.until_sending()
        exchange.disconnect()
    assert exchange.sent == [start()]


async def test_send_may_stay_parked_after_a_disconnect() -> None:
    async with Exchange(sender(start())) as exchange:
        exchange.stall_send()
        await exchange.until_sending()
        exchange.disconnect()
        exchange.stall_send()
        await exchange.until_sending()
        exchange.cancel()
    assert exchange.sent == []


async def test_parked_send_fails() -> None:
    error = OSError("client is gone")
    async with Exchange(endless) as exchange:
        exchange.stall_send()
        await exchange.until_sending()
        exchange.fail_send(error)
        assert await exchange.wait_closed() == Outcome(AppState.RAISED, error)
    assert exchange.sent == []


async def test_send_fails_for_ever_after_some_messages() -> None:
    errors = []

    async def stubborn(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(2):
            try:
                await endless(scope, receive, send)
            except OSError as exc:
                errors.append(exc)

    error = OSError("client is gone")
    exchange = Exchange(stubborn)
    exchange.fail_send(error, after=2)
    assert await exchange.run() == [start(), body(b"0", more_body=True)]
    assert errors == [error, error]


# Endings.


async def test_exception_comes_out_of_run_as_itself() -> None:
    error = LookupError("x")
    exchange = Exchange(raiser(error, start()))
    with pytest.raises(LookupError) as caught:
        await exchange.run()
    assert caught.value is error
    assert exchange.sent == [start()]
    assert exchange.outcome == Outcome(AppState.RAISED, error)


async def test_exception_comes_out_of_the_block_as_itself() -> None:
    error = LookupError("x")
    with pytest.raises(LookupError) as caught:
        async with Exchange(raiser(error, start())) as exchange:
            assert await exchange.expect_start() == start()
    assert caught.value is error


async def test_exception_comes_out_of_the_wait_that_it_ends() -> None:
    error = LookupError("x")
    async with Exchange(raiser(error, start())) as exchange:
        with pytest.raises(LookupError) as caught:
            await exchange.expect_chunk()
    assert caught.value is error
    assert "when the test expected a chunk: the app has raised" in error.__notes__[0]


async def test_exception_taken_by_wait_closed_is_not_raised() -> None:
    error = LookupError("x")
    async with Exchange(raiser(error)) as exchange:
        assert await exchange.wait_closed() == Outcome(AppState.RAISED, error)
        with pytest.raises(AssertionError, match="expected a message, but the app has raised"):
            await exchange.expect_message()


async def fail_within(exchange: Exchange, reached: Callable[[Exchange], Awaitable[Any]]) -> None:
    """Be a test that fails when it has got so far."""
    async with exchange:
        await reached(exchange)
        raise ZeroDivisionError


async def test_failing_test_is_told_of_the_exception() -> None:
    ended = anyio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            raise LookupError("x")
        finally:
            ended.set()

    with pytest.raises(ZeroDivisionError) as caught:
        await fail_within(Exchange(app), lambda _: ended.wait())
    assert caught.value.__notes__ == ["the app raised LookupError('x')"]


async def test_failing_test_cancels_the_app() -> None:
    exchange = Exchange(listener)
    with pytest.raises(ZeroDivisionError) as caught:
        await fail_within(exchange, Exchange.until_receiving)
    assert exchange.outcome == Outcome(AppState.CANCELLED)
    assert not hasattr(caught.value, "__notes__")


async def test_cancel_of_the_surroundings_is_let_through() -> None:
    with anyio.CancelScope() as scope:
        async with Exchange(listener) as exchange:
            await exchange.until_receiving()
            scope.cancel()
            await anyio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert exchange.outcome.state in (AppState.RAISED, AppState.CANCELLED)


async def test_cancel_of_the_surroundings_ends_the_wait_for_the_app() -> None:
    with anyio.CancelScope() as scope:
        async with Exchange(listener) as exchange:
            await exchange.until_receiving()
            scope.cancel()
    assert scope.cancelled_caught
    assert exchange.receives_pending == 0


async def leave_early(exchange: Exchange) -> None:
    """Be a test that does not give a listening app what it waits for."""
    async with exchange:
        await exchange.until_receiving()
        exchange.timeout = 0


async def test_app_that_is_still_running_fails_the_test() -> None:
    exchange = Exchange(listener)
    with pytest.raises(AssertionError, match="the end of the app, but the app is still running"):
        await leave_early(exchange)
    assert exchange.outcome == Outcome(AppState.CANCELLED)


async def test_app_that_fails_while_it_is_cancelled() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await receive()
        finally:
            raise LookupError("in the clean-up")

    with pytest.raises(AssertionError, match="still running") as caught:
        await leave_early(Exchange(app))
    assert caught.value.__notes__ == ["the app raised LookupError('in the clean-up')"]


async def test_cancel_reaches_the_app_once() -> None:
    async with Exchange(listener) as exchange:
        exchange.cancel()
        assert exchange.outcome == Outcome(AppState.CANCELLING)
        exchange.cancel()
        assert await exchange.wait_closed() == Outcome(AppState.CANCELLED)
    assert exchange.receive_cancellations == 0


async def test_app_may_survive_its_cancellation() -> None:
    async def survivor(scope: Scope, receive: Receive, send: Send) -> None:
        with anyio.CancelScope(shield=True):
            assert await receive() == GONE
            await send(body(b"bye"))

    async with Exchange(survivor) as exchange:
        await exchange.until_receiving()
        exchange.cancel()
        exchange.disconnect()  # a cancellation alone tells an app nothing, on any server
        assert await exchange.expect_chunk() == b"bye"
    assert exchange.outcome == Outcome(AppState.RETURNED)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # trio's cannot be raised by hand
async def test_cancellation_that_nobody_asked_for_is_raised() -> None:
    error = asyncio.CancelledError()
    exchange = Exchange(raiser(error))
    with pytest.raises(asyncio.CancelledError):
        await exchange.run()
    assert exchange.outcome == Outcome(AppState.RAISED, error)


async def test_exchange_runs_once() -> None:
    exchange = Exchange(upper)
    await exchange.run()
    with pytest.raises(RuntimeError, match="make a new one"):
        await exchange.run()


def test_cancel_before_the_start_does_nothing() -> None:
    exchange = Exchange(upper)
    exchange.cancel()
    assert exchange.outcome == Outcome(AppState.CREATED)


# Expectations that are not met.

WAITS: dict[str, Callable[[Exchange], Awaitable[Any]]] = {
    "a message": Exchange.expect_message,
    "a chunk": Exchange.expect_chunk,
    "2 bytes, of which 0 came": lambda exchange: exchange.expect_bytes(2),
    "the end of the response": Exchange.expect_end,
    "9 messages": lambda exchange: exchange.until_sent(9),
    "a parked send": Exchange.until_sending,
    "the end of the app": Exchange.wait_closed,
}


@pytest.mark.parametrize("what", WAITS)
async def test_time_runs_out(what: str) -> None:
    async with Exchange(listener) as exchange:
        await exchange.until_receiving()
        exchange.timeout = 0
        with pytest.raises(AssertionError, match=f"waited 0 s for {what}.* is still running"):
            await WAITS[what](exchange)
        exchange.timeout = 5
        exchange.disconnect()


@pytest.mark.parametrize("what", [each for each in WAITS if each != "the end of the app"])
async def test_app_returns_without_it(what: str) -> None:
    async with Exchange(sender()) as exchange:
        with pytest.raises(AssertionError, match=f"expected {what}.*, but the app has returned"):
            await WAITS[what](exchange)


async def test_app_never_receives() -> None:
    async with Exchange(sender()) as exchange:
        with pytest.raises(AssertionError, match=r"expected a parked receive\(\), but the app has"):
            await exchange.until_receiving()


async def test_failure_shows_the_last_messages_in_brief() -> None:
    app = sender(
        start(204), body(b"first", more_body=True), *[body(b"x" * 10_000, more_body=True)] * 4
    )
    async with Exchange(app) as exchange:
        await exchange.wait_closed()
        with pytest.raises(AssertionError) as caught:
            await exchange.until_sent(7)
    text = str(caught.value)
    assert "<Exchange RETURNED sent=6 complete=False undelivered=0" in text
    assert text.count("xxx...xxx") == 4
    assert "first" not in text


async def test_first_message_is_not_the_start() -> None:
    async with Exchange(sender(body())) as exchange:
        with pytest.raises(AssertionError, match=r"expected the start, got 'http.response.body'"):
            await exchange.expect_start()


async def test_complete_without_the_bytes() -> None:
    async with Exchange(sender(start(), body(b"abc"))) as exchange:
        with pytest.raises(AssertionError, match="4 bytes, of which 3 came, but the response is"):
            await exchange.expect_bytes(4)


async def test_bytes_where_the_end_was_expected() -> None:
    async with Exchange(sender(start(), body(b"abc"))) as exchange:
        with pytest.raises(AssertionError, match="expected the end, got more bytes"):
            await exchange.expect_end()
