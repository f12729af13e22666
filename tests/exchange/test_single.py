"""BridgeMiddleware takes an application in any of its forms."""

from collections.abc import Awaitable, Generator
from typing import Any

import pytest

from asgi_bridge import BridgeMiddleware
from asgi_bridge.single import single_callable, takes
from asgi_bridge.testing import Exchange, body, start
from asgi_bridge.types import Receive, Scope, Send

pytestmark = pytest.mark.anyio


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await send(start())
    await send(body(b"hello"))


def returning(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
    return hello(scope, receive, send)


class Endpoint:
    """One object for each request, awaited, as Starlette's HTTPEndpoint is."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._call = hello(scope, receive, send)

    def __await__(self) -> Generator[Any, None, None]:
        return self._call.__await__()


class Double:
    """An ASGI 2 application."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def __call__(self, receive: Receive, send: Send) -> None:
        await hello(self._scope, receive, send)


@pytest.mark.parametrize("app", [hello, returning, Endpoint, Double])
async def test_every_form_of_an_application(app: Any) -> None:
    assert await Exchange(BridgeMiddleware(app)).run() == [start(), body(b"hello")]


def test_asgi_3_is_not_wrapped() -> None:
    assert single_callable(hello) is hello


@pytest.mark.parametrize(
    ("function", "arguments", "fits"),
    [
        (hello, ("scope", "receive", "send"), True),
        (hello, ("scope",), False),
        (dict.fromkeys, ("a",), True),
        (type, ("a",), False),  # a builtin that does not tell its signature
    ],
)
def test_takes(function: Any, arguments: tuple[str, ...], fits: bool) -> None:
    assert takes(function, *arguments) is fits
