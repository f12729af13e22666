"""The plugin: what a suite calls goes through the bridge, once."""

from types import SimpleNamespace

import pytest

from asgi_bridge import BridgeMiddleware
from asgi_bridge.testing import Exchange, body, scope_for, start
from asgi_bridge.types import Receive, Scope, Send

from .plugin.wrapping import (
    SCOPE_KEY,
    around_argument,
    around_call,
    around_connection,
    callables_of,
    completed,
)

ANSWER = [start(), body(b"bridged")]


class App:
    """An application that tells whether there is a bridge around it."""

    def __init__(self, inner: "App | None" = None) -> None:
        self.inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.inner is not None:
            await self.inner(scope, receive, send)
        else:
            await send(start())
            await send(body(b"bridged" if SCOPE_KEY in scope else b"bare"))


class Wrapped(App):
    __call__ = around_call(App.__call__)


class NoApp:
    def __call__(self, scope: Scope) -> None:
        raise AssertionError("nobody calls it")


@pytest.mark.anyio
@pytest.mark.parametrize("app", [Wrapped(), Wrapped(Wrapped())], ids=["outermost", "nested"])
async def test_call_goes_through_the_bridge(app: App) -> None:
    assert await Exchange(app).run() == ANSWER


@pytest.mark.anyio
@pytest.mark.parametrize(("given", "named"), [((App(),), {}), ((), {"app": App()})])
async def test_client_is_given_a_bridge(given: tuple[App, ...], named: dict[str, App]) -> None:
    made = SimpleNamespace()

    def make(made: SimpleNamespace, app: App, *, base_url: str) -> None:
        made.app, made.base_url = app, base_url

    around_argument(make, "app")(made, *given, base_url="http://test", **named)
    assert await Exchange(made.app).run() == ANSWER
    assert made.base_url == "http://test"


class Connection:
    """Made with a scope, as Quart's are, and called without it."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, receive: Receive, send: Send) -> None:
        await App()(self.scope, receive, send)

    bridged = around_connection(__call__)


@pytest.mark.anyio
@pytest.mark.parametrize("bridge", [False, True], ids=["outermost", "nested"])
async def test_connection_goes_through_the_bridge(bridge: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Connection(scope).bridged(receive, send)

    assert await Exchange(BridgeMiddleware(app) if bridge else app).run() == ANSWER


@pytest.mark.anyio
async def test_what_an_application_returns_is_handed_on() -> None:
    async def call(app: None, scope: Scope, receive: Receive, send: Send) -> str:
        return "of the inner call"

    scope = {"type": "http", SCOPE_KEY: object()}
    assert await around_call(call)(None, scope, None, None) == "of the inner call"


def test_applications_are_found_by_how_they_are_called() -> None:
    assert set(callables_of(__name__)) == {App, Wrapped, BridgeMiddleware}


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ({}, {"type": "http", "path": "/", "method": "GET"}),
        ({"type": "http", "method": "head"}, {"type": "http", "path": "/", "method": "HEAD"}),
        (scope_for(path="/a"), scope_for(path="/a")),
        ({"type": "lifespan"}, {"type": "lifespan"}),
    ],
)
def test_scope_has_what_is_demanded_of_it(scope: Scope, expected: Scope) -> None:
    whole = completed(scope)
    assert whole == expected
    assert (whole is scope) == (scope == expected)
