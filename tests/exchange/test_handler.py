"""handler: what it makes of a function, and how that serves each kind of scope."""

import contextvars
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import pytest
from asgi_lifespan import LifespanManager
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from asgi_bridge import BridgeMiddleware, Limits, Request, Response, WorkerPool, handler, open_body
from asgi_bridge.handler import HandlerApp
from asgi_bridge.testing import Exchange, body, request, start
from asgi_bridge.types import ASGIApp, Message, Receive, Scope, Send

from .helpers import WAIT, PromptPool

CONTENT: list[Message] = [start(200, [(b"content-length", b"3")]), body(b"ABC")]


def upper(request: Request, response: Response) -> bytes:
    """Answer in upper case."""
    return request.body.read().upper()


# Decoration.


def test_decorator_keeps_the_name_and_the_text() -> None:
    app = handler(upper)
    assert isinstance(app, HandlerApp)
    assert (app.__name__, app.__doc__) == ("upper", "Answer in upper case.")  # type: ignore[attr-defined]  # update_wrapper sets it
    assert repr(app) == "<handler 'upper'>"
    app.pool.close()


def test_decorator_takes_arguments(pool: WorkerPool) -> None:
    @handler(pool=pool)
    def app(request: Request, response: Response) -> None: ...

    assert app.pool is pool
    assert handler(limits=Limits(), pool=pool)(upper).pool is pool


def test_each_handler_has_a_pool_of_its_own() -> None:
    pools = {handler(upper).pool, handler(upper).pool, handler()(upper).pool}
    assert len(pools) == 3
    for each in pools:
        each.close()


async def async_function(request: Request, response: Response) -> bytes:
    return b""


async def async_generator(request: Request, response: Response) -> AsyncIterator[bytes]:
    yield b""


class AsyncCallable:
    async def __call__(self, request: Request, response: Response) -> bytes:
        return b""


@pytest.mark.parametrize(
    "function", [async_function, async_generator, AsyncCallable()], ids=["def", "generator", "call"]
)
@pytest.mark.parametrize("decorate", [handler, handler()], ids=["bare", "with arguments"])
def test_async_function_is_refused_with_the_alternative(
    decorate: Callable[[Any], HandlerApp], function: Any
) -> None:
    with pytest.raises(TypeError, match=r"is async: .* with `def`.* BridgeMiddleware"):
        decorate(function)


def texts(request: Request, response: Response) -> Iterator[str]:
    yield "not encoded"


def number(request: Request, response: Response) -> int:
    return 1


def test_type_checkers_see_these_mistakes() -> None:
    """Mypy runs over the tests, and an ignored error that is none is an error to it."""
    for each in (async_function, async_generator):
        with pytest.raises(TypeError, match="is async"):
            handler(each)  # type: ignore[arg-type]  # as the rest here
    handler(texts)  # type: ignore[arg-type]  # refused when it is called
    handler(number)  # type: ignore[arg-type]


def test_object_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="a handler is a function, not 'upper'"):
        handler("upper")  # type: ignore[call-overload]  # the mistake under test


@pytest.mark.anyio
async def test_callable_object_is_a_handler(prompt_pool: PromptPool) -> None:
    class Greeter:
        def __call__(self, request: Request, response: Response) -> bytes:
            return b"ABC"

        def __repr__(self) -> str:
            return "Greeter()"

    app = handler(Greeter(), pool=prompt_pool)
    assert repr(app) == "<handler Greeter()>"
    assert await Exchange(app).run() == CONTENT


# Where it runs.


@pytest.mark.anyio
@pytest.mark.parametrize(
    "around",
    [
        lambda app: app,
        BridgeMiddleware,
        lambda app: BridgeMiddleware(BridgeMiddleware(app)),
        lambda app: Starlette(routes=[Route("/up/x", app, methods=["PUT"])]),
        lambda app: Starlette(routes=[Mount("/up", app)]),
        lambda app: BridgeMiddleware(Starlette(routes=[Mount("/up", app)])),
    ],
    ids=["bare", "bridged", "bridged twice", "Route", "Mount", "bridged Mount"],
)
async def test_handler_is_an_app_anywhere(
    around: Callable[[HandlerApp], ASGIApp], pool: WorkerPool
) -> None:
    app = around(handler(upper, pool=pool))
    script = [request(b"a", more_body=True), request(b"bc")]
    exchange = Exchange(app, path="/up/x", receive=script)
    await exchange.run()
    assert (exchange.status, exchange.body, exchange.complete) == (200, b"ABC", True)


@pytest.mark.anyio
async def test_context_variables_reach_the_worker(prompt_pool: PromptPool) -> None:
    variable = contextvars.ContextVar[bytes]("variable")
    seen = []

    def read(request: Request, response: Response) -> Iterator[bytes]:
        yield variable.get()
        variable.set(b"the worker's own")
        seen.append(variable.get())

    inner = handler(read, pool=prompt_pool)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        variable.set(b"ABC")
        await inner(scope, receive, send)
        assert variable.get() == b"ABC"

    assert await Exchange(app).run() == CONTENT
    assert seen == [b"the worker's own"]


@pytest.mark.anyio
async def test_body_of_a_handler_is_claimed(pool: WorkerPool) -> None:
    def twice(request: Request, response: Response) -> str:
        with pytest.raises(RuntimeError, match="it has a reader already"):
            open_body(request)
        return "refused"

    exchange = Exchange(handler(twice, pool=pool))
    await exchange.run()
    assert exchange.body == b"refused"


# Other scopes.


class Server:
    """The server's side of a scope that is not http: a script in, a record out."""

    def __init__(self, *script: Message) -> None:
        self.sent: list[Message] = []
        self._script = list(script)

    async def receive(self) -> Message:
        return self._script.pop(0)

    async def send(self, message: Message) -> None:
        self.sent.append(message)


@pytest.mark.anyio
async def test_websocket_is_closed(pool: WorkerPool) -> None:
    server = Server({"type": "websocket.connect"})
    await handler(upper, pool=pool)({"type": "websocket"}, server.receive, server.send)
    assert server.sent == [{"type": "websocket.close", "code": 1000}]


@pytest.mark.anyio
async def test_unknown_scope_is_an_error(pool: WorkerPool) -> None:
    server = Server()
    with pytest.raises(RuntimeError, match="a handler serves http, not 'x-future'"):
        await handler(upper, pool=pool)({"type": "x-future"}, server.receive, server.send)
    assert server.sent == []


@pytest.mark.anyio
async def test_lifespan_opens_and_closes_the_pool(pool: WorkerPool) -> None:
    app = handler(upper, pool=pool)
    for _ in range(2):
        server = Server({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
        await app({"type": "lifespan"}, server.receive, server.send)
        assert server.sent == [
            {"type": "lifespan.startup.complete"},
            {"type": "lifespan.shutdown.complete"},
        ]
        assert pool.closed


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # asgi-lifespan runs on asyncio
async def test_pool_lives_as_long_as_the_lifespan(pool: WorkerPool) -> None:
    app = handler(upper, pool=pool)
    for _ in range(2):
        with anyio.fail_after(WAIT):
            async with LifespanManager(app):
                assert not pool.closed
                exchange = Exchange(app, receive=[request(b"abc")])
                await exchange.run()
                assert exchange.body == b"ABC"
            assert pool.closed


@pytest.mark.anyio
async def test_handler_serves_on_after_the_end_of_its_lifespan(pool: WorkerPool) -> None:
    """A second test client may begin no lifespan."""
    app = handler(upper, pool=pool)
    server = Server({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    await app({"type": "lifespan"}, server.receive, server.send)
    for _ in range(2):
        exchange = Exchange(app, receive=[request(b"abc")])
        await exchange.run()
        assert (exchange.status, exchange.body) == (200, b"ABC")


@pytest.mark.anyio
async def test_pool_that_its_owner_has_closed_stays_closed(pool: WorkerPool) -> None:
    await pool.aclose()
    exchange = Exchange(handler(upper, pool=pool))
    await exchange.run()
    assert exchange.status == 503


@pytest.mark.anyio
async def test_headers_that_can_be_iterated_once(pool: WorkerPool) -> None:
    def seen(request: Request, response: Response) -> str:
        return f"{request.headers.get('x-a')} {request.headers.get('x-a')}"

    exchange = Exchange(handler(seen, pool=pool))
    exchange.scope["headers"] = iter([(b"x-a", b"1"), (b"content-length", b"0")])
    await exchange.run()
    assert exchange.body == b"1 1"
