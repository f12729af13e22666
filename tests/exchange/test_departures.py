"""What an application sees when its client leaves: what it would see without the bridge."""

import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from asgi_bridge import BridgeMiddleware, ClientDisconnected, Limits
from asgi_bridge.testing import DISCONNECT, AppState, Exchange, body, request, scope_for, start
from asgi_bridge.types import ASGIApp, Message, Receive, Scope, Send

from .helpers import CHUNKED, WAIT, ending, lines, settled, tasks_living

pytestmark = pytest.mark.anyio

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="outer")

Read = Callable[[Request], Awaitable[Any]]


class PassThrough(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)


class Idle:
    """A stream that says one thing and waits; what became of it."""

    def __init__(self) -> None:
        self.begun = self.ended = 0
        self.background = False
        self.left = 0  # how often something around the application has seen it end by itself

    async def stream(self) -> AsyncIterator[bytes]:
        self.begun += 1
        token = VARIABLE.set("inner")
        try:
            yield b"data: hello\n\n"
            await anyio.sleep_forever()
        finally:
            VARIABLE.reset(token)
            self.ended += 1

    def done(self) -> None:
        self.background = True

    def app(self, read: Read, *middleware: type) -> ASGIApp:
        async def endpoint(request: Request) -> Response:
            await read(request)
            return StreamingResponse(
                self.stream(), media_type="text/event-stream", background=BackgroundTask(self.done)
            )

        stack = [Middleware(each) for each in middleware]  # type: ignore[arg-type]  # any class
        routes = [Route("/", endpoint, methods=["GET", "POST"])]
        inner = Starlette(routes=routes, middleware=stack)

        async def around(scope: Scope, receive: Receive, send: Send) -> None:
            await inner(scope, receive, send)
            self.left += 1

        return around


async def read_all(request: Request) -> None:
    await request.body()


async def read_nothing(request: Request) -> None:
    pass


async def leave_idle(idle: Idle, read: Read, method: str, *middleware: type) -> Exchange:
    """Have a client leave while the stream is idle."""
    app = BridgeMiddleware(idle.app(read, *middleware))
    headers = [] if method == "GET" else CHUNKED
    async with Exchange(app, method=method, headers=headers) as exchange:
        await exchange.end_body(b"" if method == "GET" else b"{}")
        assert await exchange.expect_chunk() == b"data: hello\n\n"
        exchange.disconnect()
        await exchange.wait_closed()
    return exchange


@pytest.mark.parametrize("middleware", [(), (PassThrough,)], ids=["bare", "BaseHTTPMiddleware"])
@pytest.mark.parametrize(("method", "read"), [("GET", read_nothing), ("POST", read_all)])
async def test_idle_stream_ends_by_its_own_listener(
    method: str, read: Read, middleware: tuple[type, ...], log: pytest.LogCaptureFixture
) -> None:
    """As without the bridge: in its own task, with its background task, and without an error."""
    idle = Idle()
    before = tasks_living()
    for _ in range(3):
        exchange = await leave_idle(idle, read, method, *middleware)
        assert ending(exchange) == (AppState.RETURNED, None)
    await settled()
    assert (idle.begun, idle.ended, idle.left, idle.background) == (3, 3, 3, True)
    assert (lines(log), tasks_living()) == ([], before)


@pytest.mark.parametrize("middleware", [(), (PassThrough,)], ids=["bare", "BaseHTTPMiddleware"])
async def test_idle_stream_whose_body_is_unread_is_cancelled(
    middleware: tuple[type, ...], log: pytest.LogCaptureFixture
) -> None:
    """Its own listener would take the body, so the bridge listens in its place."""
    idle = Idle()
    before = tasks_living()
    exchange = await leave_idle(idle, read_nothing, "POST", *middleware)
    assert ending(exchange) == (AppState.RETURNED, None)
    await settled()
    assert (idle.begun, idle.ended, tasks_living()) == (1, 1, before)
    assert lines(log) == [("INFO", "POST /: the client went away after 2 bytes of body")]


async def test_departure_behind_an_unread_upload_is_noticed() -> None:
    """There is no room for all of the upload in memory, and nobody reads it."""
    idle = Idle()
    limits = Limits(prefetch_bytes=10, stall_timeout=0.02)
    app = BridgeMiddleware(idle.app(read_nothing), limits=limits)
    async with Exchange(app, method="POST", headers=CHUNKED) as exchange:
        for _ in range(20):
            await exchange.send_chunk(b"0123456789")
        assert await exchange.expect_chunk() == b"data: hello\n\n"
        exchange.disconnect()
        await exchange.wait_closed()
    assert (ending(exchange), idle.ended) == ((AppState.RETURNED, None), 1)


@pytest.mark.parametrize(
    ("method", "headers"), [("GET", []), ("POST", CHUNKED)], ids=["no body", "unread"]
)
async def test_client_that_left_before_the_start(
    method: str, headers: list[tuple[bytes, bytes]]
) -> None:
    """The generator begins and is ended all the same, and gives back what it was given."""
    idle = Idle()
    left = anyio.Event()

    async def wait(request: Request) -> None:
        exchange.disconnect()
        left.set()
        while not await request.is_disconnected():
            await anyio.lowlevel.checkpoint()

    exchange = Exchange(BridgeMiddleware(idle.app(wait)), method=method, headers=headers)
    async with exchange:
        await left.wait()
        await exchange.wait_closed()
    assert ending(exchange) == (AppState.RETURNED, None)
    assert (idle.begun, idle.ended) == (1, 1)


@pytest.mark.parametrize("middleware", [(), (PassThrough,)], ids=["bare", "BaseHTTPMiddleware"])
async def test_generator_before_its_first_item(middleware: tuple[type, ...]) -> None:
    """Its start is held, and its client leaves."""
    waits = anyio.Event()
    ended = list[str]()

    async def nothing_yet() -> AsyncIterator[bytes]:
        try:
            waits.set()
            await anyio.sleep_forever()
            yield b""
        finally:
            ended.append("ended")

    async def endpoint(request: Request) -> Response:
        return StreamingResponse(nothing_yet())

    stack = [Middleware(each) for each in middleware]  # type: ignore[arg-type]  # any class
    app = Starlette(routes=[Route("/", endpoint, methods=["POST"])], middleware=stack)
    async with Exchange(BridgeMiddleware(app), method="POST", headers=CHUNKED) as exchange:
        await exchange.send_chunk(b"unread")
        await waits.wait()
        exchange.disconnect()
        await exchange.wait_closed()
    assert (ending(exchange), ended) == ((AppState.RETURNED, None), ["ended"])
    assert exchange.sent == []


async def test_background_of_a_short_stream_whose_body_is_unread() -> None:
    """It has little to send when its client leaves, and is not cancelled while it cleans up."""
    done = list[str]()

    async def chunks() -> AsyncIterator[bytes]:
        yield b"first"
        exchange.disconnect()
        await settled()
        yield b"second"

    async def clean_up() -> None:
        await anyio.sleep(0.4)  # longer than an application goes on that does not end
        done.append("cleaned up")

    async def endpoint(request: Request) -> Response:
        return StreamingResponse(chunks(), background=BackgroundTask(clean_up))

    app = BridgeMiddleware(Starlette(routes=[Route("/", endpoint, methods=["POST"])]))
    exchange = Exchange(app, method="POST", headers=CHUNKED, receive=[request(b"unread")])
    await exchange.run()
    assert (exchange.body, done) == (b"first", ["cleaned up"])


# Applications that do not listen.


async def test_task_beside_the_application_is_never_raised_at() -> None:
    """a2wsgi sends from a task of its own; what its send raises would end that for good."""
    met = list[BaseException | None]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def sends() -> None:
            try:
                for _ in range(3):
                    await send(body(b"row", more_body=True))
                    await gone.wait()
                    await settled()
                await send(body())
                met.append(None)
            except BaseException as error:
                met.append(error)
                raise

        await send(start())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sends)

    gone = anyio.Event()
    async with Exchange(BridgeMiddleware(app), method="GET") as exchange:
        await exchange.end_body()
        assert await exchange.expect_chunk() == b"row"
        await exchange.until_receiving()  # the bridge listens, for nobody else does
        exchange.disconnect()
        gone.set()
        await exchange.wait_closed()
    assert met == [None]
    assert exchange.sent == [start(), body(b"row", more_body=True)]
    assert ending(exchange) == (AppState.RETURNED, None)


async def endless(scope: Scope, receive: Receive, send: Send) -> None:
    await send(start())
    while True:
        await send(body(b"row", more_body=True))
        await anyio.lowlevel.checkpoint()


async def test_endless_producer_that_does_not_listen_is_stopped(
    log: pytest.LogCaptureFixture,
) -> None:
    async with Exchange(BridgeMiddleware(endless), method="GET") as exchange:
        await exchange.end_body()
        await exchange.until_receiving()
        exchange.disconnect()
        await exchange.wait_closed()
    assert ending(exchange) == (AppState.RETURNED, None)
    assert lines(log) == [("INFO", "GET /: the client went away after 0 bytes of body")]


async def test_last_message_is_taken_from_whoever_does_not_listen() -> None:
    done = list[str]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"a", more_body=True))
        await go_on.wait()
        await settled()
        await send(body(b"b"))
        done.append("afterwards")

    go_on = anyio.Event()
    async with Exchange(BridgeMiddleware(app), method="GET") as exchange:
        await exchange.end_body()
        await exchange.until_receiving()
        exchange.disconnect()
        go_on.set()
        await exchange.wait_closed()
    assert (exchange.sent, done) == ([start(), body(b"a", more_body=True)], ["afterwards"])


async def test_send_that_is_stuck_ends_with_its_client() -> None:
    """On servers whose send waits for ever for a client that is not there."""
    done = list[str]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"a", more_body=True))
        await send(body(b"b", more_body=True))
        done.append("it goes on")

    async with Exchange(BridgeMiddleware(app), method="GET") as exchange:
        await exchange.end_body()
        exchange.stall_send()
        exchange.resume_send(messages=2)
        await exchange.until_receiving()
        exchange.disconnect()
        await exchange.wait_closed()
    assert done == ["it goes on"]


async def test_response_that_is_complete_is_listened_to_no_more() -> None:
    """Whoever traces receive() sees no call that outlives the response."""
    record: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def noted_receive() -> Message:
            record.append("receive")
            try:
                return await receive()
            finally:
                record.append("received")

        async def noted_send(message: Message) -> None:
            record.append("last" if not message.get("more_body", True) else "send")
            await send(message)

        await BridgeMiddleware(slow)(scope, noted_receive, noted_send)

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"a", more_body=True))
        await go_on.wait()
        await send(body())

    go_on = anyio.Event()
    async with Exchange(app, method="GET") as exchange:
        await exchange.end_body()
        await exchange.until_receiving()
        go_on.set()
    assert record == ["send", "send", "receive", "received", "receive", "received", "last"]


# What needs no pump.


async def test_receive_of_a_request_without_a_body_is_the_server_s_own() -> None:
    """In the application's task, so it sees what an outer receive() sets in its context."""
    seen: list[str] = []
    tasks: list[Any] = []

    async def around(scope: Scope, receive: Receive, send: Send) -> None:
        async def setting() -> Message:
            VARIABLE.set("set in receive()")
            tasks.append(anyio.get_current_task())
            return await receive()

        await BridgeMiddleware(app)(scope, setting, send)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        seen.append(VARIABLE.get())
        tasks.append(anyio.get_current_task())
        await send(start())
        await send(body())

    await Exchange(around, method="GET", receive=[request(b"")]).run()
    assert seen == ["set in receive()"]
    assert tasks[0] == tasks[1]


async def test_listener_of_a_body_that_was_read_asks_the_server_itself() -> None:
    heard: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(start())
        await send(body(b"a", more_body=True))
        for _ in range(2):
            heard.append((await receive())["type"])

    async with Exchange(BridgeMiddleware(app), headers=CHUNKED) as exchange:
        await exchange.end_body(b"{}")
        await exchange.until_receiving()
        exchange.disconnect()
    assert heard == ["http.disconnect"] * 2


async def test_two_tasks_that_listen_and_a_reader_that_comes_after() -> None:
    """The body that nobody has is claimed while a listener waits; it has its end at once."""
    heard: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def listen() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            heard.append("disconnect")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            tasks.start_soon(listen)
            await send(start())
            await send(body(b"a", more_body=True))

    async with Exchange(BridgeMiddleware(app), method="GET", max_receives=2) as exchange:
        await exchange.end_body()
        assert await exchange.expect_chunk() == b"a"
        await settled()
        exchange.disconnect()
    assert heard == ["disconnect"] * 2


async def test_body_that_comes_although_none_was_announced_is_held_to_its_limit() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raise AssertionError("more than the limit was handed out")

    app_behind = BridgeMiddleware(app, limits=Limits(max_body_bytes=2, drain_timeout=0))
    exchange = Exchange(app_behind, method="GET", receive=[request(b"abc")])
    await exchange.run()
    assert (exchange.status, ending(exchange)) == (413, (AppState.RETURNED, None))


# Failures of the application's own.


class RequestAborted(Exception):  # the name is the point
    """An application's own, of a framework's name."""


@pytest.mark.parametrize(
    "error",
    [FileNotFoundError(2, "the report"), TimeoutError("the database"), RequestAborted("ours")],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("stage", ["before the first byte", "after it"])
async def test_failure_of_a_stream_is_the_application_s(error: Exception, stage: str) -> None:
    handled: list[Exception] = []

    async def fails() -> AsyncIterator[bytes]:
        if stage == "after it":
            yield b"part one\n"
        raise error

    async def endpoint(request: Request) -> Response:
        await request.body()
        return StreamingResponse(fails())

    async def on_error(request: Request, error: Exception) -> Response:
        handled.append(error)
        return Response("failed", 500)

    routes = [Route("/", endpoint, methods=["POST"])]
    app = Starlette(routes=routes, exception_handlers={Exception: on_error})
    exchange = Exchange(
        BridgeMiddleware(app), method="POST", headers=CHUNKED, receive=[request(b"{}")]
    )
    with pytest.raises(type(error)) as caught:
        await exchange.run()
    assert caught.value is error
    assert handled == [error]


async def test_failure_beside_a_departure_is_a_failure() -> None:
    """The client has left, and what is raised then is not our disconnect."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"a", more_body=True))
        assert (await receive())["type"] == "http.disconnect"
        try:
            await send(body(b"b", more_body=True))
        except ClientDisconnected:
            raise KeyError("in the clean-up") from None

    behind = BridgeMiddleware(app, raise_on_disconnect=True)
    exchange = Exchange(behind, headers=CHUNKED, receive=[DISCONNECT])
    with pytest.raises(KeyError, match="in the clean-up"):
        await exchange.run()


async def test_flood_of_broken_uploads_has_one_warning(log: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async for _ in Request(scope, receive).stream():
            pass

    for _ in range(5):
        async with Exchange(BridgeMiddleware(app), headers=CHUNKED) as exchange:
            await exchange.send_chunk(b"a")
            exchange.disconnect()
            await exchange.wait_closed()
        assert ending(exchange) == (AppState.RETURNED, None)
    assert [level for level, _ in lines(log)] == ["WARNING", *["INFO"] * 4]


async def test_what_a_request_says_of_itself_cannot_write_log_lines(
    log: pytest.LogCaptureFixture,
) -> None:
    evil = "/a\nCRITICAL root: all is lost\x1b[2J\u202e\u2028" + "x" * 1000
    async with Exchange(BridgeMiddleware(endless), method="GET", path=evil) as exchange:
        await exchange.end_body()
        await exchange.until_receiving()
        exchange.disconnect()
        await exchange.wait_closed()
    ((_, line),) = lines(log)
    assert line.isprintable()
    assert line.startswith(r"GET /a\nCRITICAL root: all is lost\x1b[2J\u202e\u2028xxx")
    assert len(line) < 400


async def test_second_exchange_on_one_scope_sees_it_as_it_was() -> None:
    """What the bridge puts into a scope is gone after it, whatever the application did."""
    scope = scope_for(headers=CHUNKED)
    before = dict(scope)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["headers"] = [(b"content-length", b"128")]
        await send(start())
        await send(body())

    async def receive() -> Message:
        return request(b"")

    async def send(message: Message) -> None:
        await anyio.lowlevel.checkpoint()

    with anyio.fail_after(WAIT):
        await BridgeMiddleware(app)(scope, receive, send)
    assert scope == {**before, "headers": [(b"content-length", b"128")]}
