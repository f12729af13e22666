"""A pytest plugin: every application that a suite tests is called through BridgeMiddleware.

It wraps what a client in process is given, and what of a framework a test calls itself:
applications, routers, middleware and responses. `run.py` puts it in place.
"""

import inspect
from collections.abc import Callable, Iterator
from functools import wraps
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import pytest

from asgi_bridge import BridgeMiddleware
from asgi_bridge.types import Receive, Scope, Send

Call = Callable[..., Any]

# What the bridge puts into a scope: there is a bridge around whoever sees it.
SCOPE_KEY: Final = "asgi_bridge"

# Functions that are given an application, and the parameter that it is.
GIVEN = (
    ("starlette.testclient", "TestClient.__init__", "app"),
    ("httpx", "ASGITransport.__init__", "app"),
    ("httpx2", "ASGITransport.__init__", "app"),
    ("asgiref.testing", "ApplicationCommunicator.__init__", "application"),
    ("litestar.testing.client.base", "_wrap_app_to_add_state", "app"),
)
# Where classes are that a test may call with a scope, a receive and a send.
MODULES = (
    "starlette.applications",
    "starlette.routing",
    "starlette.responses",
    "starlette.staticfiles",
    "starlette.middleware.base",
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
    "sse_starlette.sse",
    "quart",
    "litestar",
    "litestar.response.base",
    "litestar.static_files.base",
    "litestar.middleware.authentication",
    "litestar.middleware.compression.middleware",
    "litestar.middleware.csrf",
    "litestar.middleware.logging",
    "litestar.middleware.rate_limit",
    "litestar.middleware.session.base",
    "litestar.middleware._internal.cors",
    "litestar.middleware._internal.exceptions.middleware",
    "django.core.handlers.asgi",
    "django.contrib.staticfiles.handlers",
)
# The same, of which OpenTelemetry's tests have a version without.
NEWER = ("starlette.middleware.body_limit",)
PARAMETERS = ["self", "scope", "receive", "send"]
# Where classes are that are made with a scope, and called with a receive and a send.
CONNECTIONS = (("quart.asgi", "ASGIHTTPConnection"),)


def pytest_configure(config: pytest.Config) -> None:
    """Put the bridge in place before the suite's modules are imported."""
    for module, path, parameter in GIVEN:
        if installed(module):
            put_around_argument(module, path, parameter)
    modules = [each for each in MODULES if installed(each)]
    modules += [each for each in NEWER if installed("starlette") and find_spec(each)]
    for each in {each for module in modules for each in callables_of(module)}:
        each.__call__ = around_call(each.__call__)
    for module, name in CONNECTIONS:
        if installed(module):
            connection = getattr(import_module(module), name)
            connection.__call__ = around_connection(connection.__call__)


def installed(module: str) -> bool:
    """Whether there is the package that the module is in."""
    return find_spec(module.partition(".")[0]) is not None


def callables_of(module: str) -> Iterator[Any]:
    """The classes in a module, imported ones too, whose instances are ASGI applications."""
    for _, each in inspect.getmembers(import_module(module), inspect.isclass):
        call = vars(each).get("__call__")
        if call is not None and list(inspect.signature(call).parameters) == PARAMETERS:
            yield each


def put_around_argument(module: str, path: str, parameter: str) -> None:
    """Replace a function, or a method, by one that puts a bridge around what it is given."""
    *owners, name = path.split(".")
    place: Any = import_module(module)
    for owner in owners:
        place = getattr(place, owner)
    setattr(place, name, around_argument(getattr(place, name), parameter))


def around_argument(call: Call, parameter: str) -> Call:
    """A function that puts a bridge around the application which this argument is."""
    signature = inspect.signature(call)

    @wraps(call)
    def wrapped(*args: Any, **options: Any) -> Any:
        given = signature.bind(*args, **options)
        given.arguments[parameter] = BridgeMiddleware(given.arguments[parameter])
        return call(*given.args, **given.kwargs)

    return wrapped


def around_call(call: Call) -> Any:
    """A `__call__` that goes through the bridge, unless there is one around it already."""

    @wraps(call)
    async def wrapped(app: Any, scope: Scope, receive: Receive, send: Send) -> Any:
        async def inner(scope: Scope, receive: Receive, send: Send) -> Any:
            return await call(app, scope, receive, send)

        return await bridged(inner, scope, receive, send)

    return wrapped


def around_connection(call: Call) -> Any:
    """The same for a `__call__` without the scope: that one is an attribute."""

    @wraps(call)
    async def wrapped(connection: Any, receive: Receive, send: Send) -> None:
        async def inner(scope: Scope, receive: Receive, send: Send) -> None:
            connection.scope = scope
            await call(connection, receive, send)

        await bridged(inner, connection.scope, receive, send)

    return wrapped


async def bridged(app: Any, scope: Scope, receive: Receive, send: Send) -> Any:
    """Call an application through the bridge, unless there is one around it already."""
    if SCOPE_KEY in scope:
        return await app(scope, receive, send)
    call: Any = BridgeMiddleware(app)
    return await call(completed(scope), receive, send)


def completed(scope: Scope) -> Scope:
    """A scope with what ASGI demands of one of HTTP, and what a test has left out.

    Where nothing is missing it is the same scope: a test may look for what the application writes.
    """
    if scope.get("type", "http") != "http":
        return scope
    whole = {"type": "http", "path": "/", **scope, "method": scope.get("method", "GET").upper()}
    return scope if whole == scope else whole
