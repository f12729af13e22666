"""A start and one body: passed on together, at once, and with nothing made that is not needed."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from asgi_bridge import (
    BodyReader,
    BridgeMiddleware,
    ExchangeOver,
    LengthMismatch,
    Limits,
    ResponseOrderError,
    open_body,
)
from asgi_bridge.testing import Exchange, body, scope_for, start
from asgi_bridge.types import ASGIApp, Message, Receive, Scope, Send

from .helpers import WAIT, settled

pytestmark = pytest.mark.anyio

HEAD = start(200, [(b"content-length", b"5")])
BODY = body(b"hello")


class Server:
    """Takes each message at once, or refuses them, and has nothing to receive."""

    def __init__(self, *, gone: bool = False) -> None:
        self.sent: list[Message] = []
        self.received = 0
        self._gone = gone

    async def receive(self) -> Message:
        self.received += 1
        await anyio.sleep_forever()
        raise AssertionError

    async def send(self, message: Message) -> None:
        if self._gone:
            raise BrokenPipeError("the client is gone")
        self.sent.append(message)


# What a server offers that passes on a body of any length.
LENIENT: dict[str, Any] = {"http.response.pathsend": {}}


async def serve(app: ASGIApp, server: Server, extensions: Mapping[str, Any] | None = None) -> None:
    with anyio.fail_after(WAIT):
        bridged = BridgeMiddleware(app, limits=Limits(drain_timeout=0.0))
        scope = scope_for(method="GET", extensions=extensions)
        await bridged(scope, server.receive, server.send)


async def test_messages_go_out_together_and_nothing_is_received() -> None:
    held: list[list[Message]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(HEAD)
        held.append(list(server.sent))
        await send(BODY)

    server = Server()
    await serve(app, server)
    assert held == [[]]
    assert (server.sent, server.received) == ([HEAD, BODY], 0)


async def test_client_that_is_gone_is_no_failure() -> None:
    met: list[type[BaseException]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(HEAD)
        try:
            await send(BODY)
        except OSError as error:
            met.append(type(error))
            raise

    await serve(app, Server(gone=True))
    assert met == [BrokenPipeError]


@pytest.mark.parametrize("message", [HEAD, BODY, body(b"", more_body=True)])
async def test_nothing_comes_after_the_end(message: Message) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(HEAD)
        await send(BODY)
        with pytest.raises(ResponseOrderError):
            await send(message)

    server = Server()
    await serve(app, server)
    assert server.sent == [HEAD, BODY]


async def test_body_of_another_length_than_declared() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(HEAD)
        with pytest.raises(LengthMismatch):
            await send(body(b"hell"))
        await send(BODY)

    server = Server()
    await serve(app, server, LENIENT)
    assert server.sent == [HEAD, BODY]


async def test_length_is_not_taken_for_that_of_another_header() -> None:
    """Of a name as long: the look at a short answer's head is a quick one."""
    other = (b"accept-charset", b"3")
    for headers in ([*HEAD["headers"], other], [other, *HEAD["headers"]]):

        async def app(scope: Scope, receive: Receive, send: Send, headers: Any = headers) -> None:
            await send(start(200, headers))
            with pytest.raises(LengthMismatch):
                await send(body(b"hel"))
            await send(BODY)

        server = Server()
        await serve(app, server, LENIENT)
        assert server.sent == [start(200, headers), BODY]


@pytest.mark.parametrize("rest", [[BODY], [body(b"hello", more_body=True), body()]])
async def test_headers_that_can_be_read_once(rest: list[Message]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({**HEAD, "headers": iter(HEAD["headers"])})
        for message in rest:
            await send(message)

    server = Server()
    await serve(app, server)
    assert server.sent == [HEAD, *rest]


async def test_failure_of_an_application_that_has_read_is_its_own() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(start(500))
        await send(BODY)

    exchange = Exchange(BridgeMiddleware(app))
    assert await exchange.run() == [start(500), BODY]


async def test_receive_after_the_end_tells_of_the_disconnect() -> None:
    told: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(HEAD)
        await send(BODY)
        told.append(await receive())

    server = Server()
    await serve(app, server)
    assert (told, server.received) == ([{"type": "http.disconnect"}], 0)


def read(scope: Scope) -> bytes:
    return open_body(scope).read()


async def test_body_that_is_claimed_in_a_thread_after_the_end_is_gone() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(HEAD)
        await send(BODY)
        with pytest.raises(ExchangeOver):
            await anyio.to_thread.run_sync(read, scope)

    server = Server()
    await serve(app, server)
    assert (server.sent, server.received) == ([HEAD, BODY], 0)


async def test_nothing_is_received_once_a_stream_is_over() -> None:
    """Although it was about to be watched."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(HEAD)
        await send(body(b"h", more_body=True))
        raise ValueError("on purpose")

    server = Server()
    with pytest.raises(ValueError, match="on purpose"):
        await serve(app, server)
    before = server.received
    await settled()
    assert server.received == before


async def after_the_start(send: Send, claim: Callable[[], None]) -> None:
    await send(HEAD)
    claim()
    await send(BODY)


async def before_the_start(send: Send, claim: Callable[[], None]) -> None:
    claim()
    await send(HEAD)
    await send(BODY)


@pytest.mark.parametrize("answer", [before_the_start, after_the_start])
async def test_body_that_is_claimed_before_the_end_is_over_with_the_exchange(
    answer: Callable[[Send, Callable[[], None]], Awaitable[None]],
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        def claim() -> None:
            readers.append(open_body(scope))

        await answer(send, claim)

    readers: list[BodyReader] = []
    server = Server()
    await serve(app, server)
    assert server.sent == [HEAD, BODY]
    with pytest.raises(ExchangeOver):
        await anyio.to_thread.run_sync(readers[0].read)


async def test_body_that_is_claimed_while_the_answer_goes_out() -> None:
    """In a thread: the exchange is told of the end, although it has no part in the answer."""
    goes_out, claimed = anyio.Event(), anyio.Event()

    class Slow(Server):
        async def send(self, message: Message) -> None:
            goes_out.set()
            await claimed.wait()
            await super().send(message)

    async def answer(send: Send) -> None:
        await send(BODY)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as tasks:
            await send(HEAD)
            tasks.start_soon(answer, send)
            await goes_out.wait()
            readers.append(await anyio.to_thread.run_sync(open_body, scope))
            claimed.set()

    readers: list[BodyReader] = []
    server = Slow()
    await serve(app, server)
    assert server.sent == [HEAD, BODY]
    with pytest.raises(ExchangeOver):
        await anyio.to_thread.run_sync(readers[0].read)


async def test_two_short_answers_in_a_moment() -> None:
    """They are looked at together, if their sends have to wait."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(HEAD)
        await send(BODY)

    for _ in range(2):
        server = Server()
        await serve(app, server)
        assert server.sent == [HEAD, BODY]
