"""The plugin: what a suite calls goes through the bridge, once."""

from types import SimpleNamespace

import pytest

from asgi_bridge.intake import SCOPE_KEY
from asgi_bridge.testing import Exchange, body, scope_for, start
from asgi_bridge.types import Receive, Scope, Send

from .plugin.wrapping import around_call, around_client, callables_of, completed

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
async def test_client_is_given_a_bridge() -> None:
    made = SimpleNamespace()

    def make(made: SimpleNamespace, app: App, *, base_url: str) -> None:
        made.app, made.base_url = app, base_url

    around_client(make)(made, app=App(), base_url="http://test")
    assert await Exchange(made.app).run() == ANSWER
    assert made.base_url == "http://test"


def test_applications_are_found_by_how_they_are_called() -> None:
    assert set(callables_of(__name__)) == {App, Wrapped}


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ({"type": "http"}, {"type": "http", "path": "/", "method": "GET"}),
        ({"type": "http", "method": "head"}, {"type": "http", "path": "/", "method": "HEAD"}),
        (scope_for(path="/a"), scope_for(path="/a")),
        ({"type": "lifespan"}, {"type": "lifespan"}),
    ],
)
def test_scope_has_what_is_demanded_of_it(scope: Scope, expected: Scope) -> None:
    assert completed(scope) == expected
