"""What an application does after its response, and what becomes of that when the client leaves."""

from collections.abc import AsyncIterator, Callable

import pytest
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from asgi_bridge import BridgeMiddleware, ClientDisconnected
from asgi_bridge.testing import DISCONNECT, AppState, Exchange, body, start
from asgi_bridge.types import ASGIApp, Message, Receive, Scope, Send

from .helpers import Step, ending
from .test_frameworks import FRAMEWORKS, PassThrough

pytestmark = pytest.mark.anyio

Make = Callable[..., ASGIApp]

LENGTH = [(b"content-length", b"5")]
HELLO = body(b"Hello", more_body=True)


async def hello() -> AsyncIterator[bytes]:
    yield b"Hello"


@FRAMEWORKS
@pytest.mark.parametrize("middleware", [(), (PassThrough,)], ids=["plain", "behind middleware"])
@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
async def test_background_task_runs_after_the_response(
    make: Make, middleware: tuple[type, ...], streams: bool
) -> None:
    complete: list[bool] = []

    async def endpoint(request: Request) -> Response:
        task = BackgroundTask(lambda: complete.append(exchange.complete))
        if streams:
            return StreamingResponse(hello(), background=task)
        return Response(b"Hello", background=task)

    exchange = Exchange(make(endpoint, *middleware))
    await exchange.run()
    assert (exchange.body, complete) == (b"Hello", [True])


@FRAMEWORKS
async def test_background_task_runs_when_the_client_left_with_the_response(make: Make) -> None:
    done = Step()

    async def work() -> None:
        exchange.disconnect()
        done.take()

    async def endpoint(request: Request) -> Response:
        return Response(b"Hello", background=BackgroundTask(work))

    exchange = Exchange(make(endpoint, PassThrough))
    await exchange.run()
    assert (done.taken, ending(exchange)) == (True, (AppState.RETURNED, None))


@FRAMEWORKS
async def test_background_task_is_run_for_a_client_that_left_before(make: Make) -> None:
    """As on all servers of today without the bridge, since their send does not raise."""
    done = Step()

    async def endpoint(request: Request) -> Response:
        exchange.disconnect()
        while not await request.is_disconnected():
            pass
        return Response(b"Hello", background=BackgroundTask(done.take))

    exchange = Exchange(make(endpoint))
    await exchange.run()
    assert (exchange.sent, done.taken) == ([], True)
    assert ending(exchange) == (AppState.RETURNED, None)


@pytest.mark.parametrize("raises", [True, False])
async def test_held_response_of_a_client_that_left_goes_nowhere(raises: bool) -> None:
    met: list[type[Exception]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(headers=[(b"content-length", b"0")]))
        while (await receive())["type"] != "http.disconnect":
            pass
        try:
            await send(body())
        except ClientDisconnected as error:
            met.append(type(error))

    app_behind = BridgeMiddleware(app, raise_on_disconnect=raises)
    exchange = Exchange(app_behind, receive=[DISCONNECT])
    assert await exchange.run() == []
    assert met == [ClientDisconnected] * raises


def parting(
    *last: Message, head: Message, raises: bool = True
) -> tuple[BridgeMiddleware, list[str]]:
    """An app that sends `last` once it knows that the client has left; and what it met."""
    met: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(head)
        await send(HELLO)
        while (await receive())["type"] != "http.disconnect":
            pass
        try:
            for message in last:
                await send(message)
        except ClientDisconnected:
            met.append("ClientDisconnected")
        met.append("afterwards")

    return BridgeMiddleware(app, raise_on_disconnect=raises), met


@pytest.mark.parametrize(
    ("method", "head"),
    [
        pytest.param("GET", start(headers=LENGTH), id="all bytes of its length"),
        pytest.param("HEAD", start(), id="all that answers a HEAD"),
    ],
)
async def test_client_that_has_all_of_its_response_may_leave(method: str, head: Message) -> None:
    app, met = parting(body(), head=head)
    async with Exchange(app, method=method) as exchange:
        await exchange.end_body()
        await exchange.until_sent(2)
        exchange.disconnect()
    assert met == ["afterwards"]
    assert exchange.sent == [head, HELLO]


@pytest.mark.parametrize(
    ("head", "last"),
    [
        pytest.param(start(), body(), id="nobody knows its length"),
        pytest.param(start(headers=[(b"content-length", b"6")]), body(b"!"), id="a byte is left"),
        pytest.param(start(headers=LENGTH), body(more_body=True), id="no end"),
        pytest.param(
            start(headers=LENGTH), {"type": "http.response.push", "path": "/"}, id="no body"
        ),
    ],
)
@pytest.mark.parametrize("raises", [True, False])
async def test_client_that_left_early_is_an_error_where_that_was_asked_for(
    head: Message, last: Message, raises: bool
) -> None:
    app, met = parting(last, head=head, raises=raises)
    async with Exchange(app) as exchange:
        await exchange.end_body()
        await exchange.until_sent(2)
        exchange.disconnect()
    assert met == [*["ClientDisconnected"] * raises, "afterwards"]
    assert exchange.sent == [head, HELLO]
