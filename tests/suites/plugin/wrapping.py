"""A pytest plugin: every application that a suite tests is called through BridgeMiddleware.

It wraps what a client in process is given, and what of Starlette and FastAPI a test calls itself:
applications, routers, middleware and responses. `run.py` puts it in place.
"""

import inspect
from collections.abc import Callable, Iterator
from functools import wraps
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest

from asgi_bridge import BridgeMiddleware
from asgi_bridge.intake import SCOPE_KEY
from asgi_bridge.types import Receive, Scope, Send

Call = Callable[..., Any]

CLIENTS = (
    ("starlette.testclient", "TestClient"),
    ("httpx", "ASGITransport"),
    ("httpx2", "ASGITransport"),
)
# Where classes are that a test may call with a scope, a receive and a send.
MODULES = (
    "starlette.applications",
    "starlette.routing",
    "starlette.responses",
    "starlette.staticfiles",
    "starlette.middleware.base",
    "starlette.middleware.body_limit",
    "starlette.middleware.cors",
    "starlette.middleware.errors",
    "starlette.middleware.exceptions",
    "starlette.middleware.gzip",
    "starlette.middleware.httpsredirect",
    "starlette.middleware.sessions",
    "starlette.middleware.trustedhost",
    "fastapi",
    "fastapi.routing",
    "fastapi.responses",
)
PARAMETERS = ["self", "scope", "receive", "send"]


def pytest_configure(config: pytest.Config) -> None:
    """Put the bridge in place before the suite's modules are imported."""
    for module, name in CLIENTS:
        if find_spec(module) is not None:
            client = getattr(import_module(module), name)
            client.__init__ = around_client(client.__init__)
    modules = [each for each in MODULES if find_spec(each.partition(".")[0]) is not None]
    for each in {each for module in modules for each in callables_of(module)}:
        each.__call__ = around_call(each.__call__)


def callables_of(module: str) -> Iterator[Any]:
    """The classes in a module, imported ones too, whose instances are ASGI applications."""
    for _, each in inspect.getmembers(import_module(module), inspect.isclass):
        call = vars(each).get("__call__")
        if call is not None and list(inspect.signature(call).parameters) == PARAMETERS:
            yield each


def around_client(make: Callable[..., None]) -> Callable[..., None]:
    """A constructor of a client that wraps the application."""

    @wraps(make)
    def wrapped(made: Any, /, app: Any, *args: Any, **options: Any) -> None:
        make(made, BridgeMiddleware(app), *args, **options)

    return wrapped


def around_call(call: Call) -> Any:
    """A `__call__` that goes through the bridge, unless there is one around it already."""

    @wraps(call)
    async def wrapped(app: Any, scope: Scope, receive: Receive, send: Send) -> None:
        async def inner(scope: Scope, receive: Receive, send: Send) -> None:
            await call(app, scope, receive, send)

        if SCOPE_KEY in scope:
            await inner(scope, receive, send)
        else:
            await BridgeMiddleware(inner)(completed(scope), receive, send)

    return wrapped


def completed(scope: Scope) -> Scope:
    """A scope with what ASGI demands of one of HTTP, and what a test has left out."""
    if scope["type"] != "http":
        return scope
    return {"path": "/", **scope, "method": scope.get("method", "GET").upper()}
