"""What an object is taken for, and what is said about an object that is nothing."""

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any

import pytest

from asgi_bridge import BridgeMiddleware, handler
from asgi_bridge.cli.errors import CommandError
from asgi_bridge.cli.kinds import app_of
from asgi_bridge.handler import HandlerApp
from asgi_bridge.types import Message, Receive, Scope, Send

RESPONSE: list[Message] = [
    {"type": "http.response.start", "status": 204, "headers": []},
    {"type": "http.response.body", "body": b"", "more_body": False},
]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    for message in RESPONSE:
        await send(message)


class AppObject:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)


def returns_an_awaitable(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
    return app(scope, receive, send)


class Endpoint:
    """An app whose class is called, as Starlette's HTTPEndpoint is."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._arguments = scope, receive, send

    def __await__(self) -> Generator[Any, None, None]:
        return app(*self._arguments).__await__()


class DoubleCallable:
    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def __call__(self, receive: Receive, send: Send) -> None:
        await app(self._scope, receive, send)


def double_callable(scope: Scope) -> Callable[[Receive, Send], Awaitable[None]]:
    return functools.partial(app, scope)


class NeedsNoBridge(AppObject):
    needs_no_bridge = True


def test_what_needs_no_bridge_has_none() -> None:
    """An object; a class that says so is no application yet."""
    it = NeedsNoBridge()
    assert app_of(it, "it") is it
    with pytest.raises(CommandError, match="is a class"):
        app_of(NeedsNoBridge, "it")


@pytest.mark.parametrize(
    "loaded",
    [
        app,
        functools.partial(app),
        AppObject(),
        returns_an_awaitable,
        Endpoint,
        DoubleCallable,
        double_callable,
    ],
)
@pytest.mark.asyncio
async def test_apps_are_put_into_the_middleware(loaded: object) -> None:
    made = app_of(loaded, "module:app")
    assert isinstance(made, BridgeMiddleware)
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "asgi": {"version": "3.0"}, "method": "GET", "path": "/"}
    await made({**scope, "headers": [], "query_string": b""}, receive, send)
    assert [message["type"] for message in sent] == [message["type"] for message in RESPONSE]


def plain(request: object, response: object) -> bytes:
    return b""


def plain_with_more(request: object, response: object, level: int = 6) -> bytes:
    return b""


class PlainObject:
    def __call__(self, request: object, response: object) -> bytes:
        return b""


@pytest.mark.parametrize("loaded", [plain, plain_with_more, PlainObject().__call__])
def test_functions_become_handlers(loaded: object) -> None:
    assert isinstance(app_of(loaded, "module:function"), HandlerApp)


@pytest.mark.parametrize("loaded", [BridgeMiddleware(app), handler(plain)])
def test_what_is_ours_is_served_as_it_is(loaded: object) -> None:
    assert app_of(loaded, "module:app") is loaded


async def async_handler(request: object, response: object) -> bytes:
    return b""


async def async_generator(request: object, response: object) -> AsyncIterator[bytes]:
    yield b""


def one_argument(request: object) -> bytes:
    return b""


async def scope_alone(scope: Scope) -> None: ...


def nothing() -> None: ...


ASYNC = (
    "is an async def of two arguments: a handler of (request, response) is a plain def, "
    "an async ASGI app takes (scope, receive, send)"
)
WANTED = "an ASGI app takes (scope, receive, send), a handler (request, response)"


@pytest.mark.parametrize(
    ("loaded", "message"),
    [
        (3, "is of type int, not an app or a function"),
        (async_handler, ASYNC),
        (async_generator, ASYNC),
        (one_argument, f"takes (request): {WANTED}"),
        (scope_alone, f"takes (scope): {WANTED}"),
        (nothing, "takes no arguments; if it returns the app, add --factory"),
        (AppObject, "is a class; name an instance of it, or add --factory to have one made"),
        (dict, "is a class; name an instance of it, or add --factory to have one made"),
        (max, f"takes (arguments it does not tell): {WANTED}"),
    ],
)
def test_what_is_nothing(loaded: object, message: str) -> None:
    with pytest.raises(CommandError) as raised:
        app_of(loaded, "module:name")
    assert str(raised.value) == f"module:name {message}"
