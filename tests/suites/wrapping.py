"""A pytest plugin: every application that a suite tests is called through BridgeMiddleware.

It wraps what Starlette's TestClient is given, and the applications of Starlette and FastAPI where
a test calls them itself. `run.py` puts it in place.
"""

from collections.abc import Callable
from functools import wraps
from importlib.util import find_spec
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from asgi_bridge import BridgeMiddleware
from asgi_bridge.intake import SCOPE_KEY
from asgi_bridge.types import Receive, Scope, Send

Call = Callable[..., Any]


def pytest_configure(config: pytest.Config) -> None:
    """Put the bridge in place before the suite's modules are imported."""
    TestClient.__init__ = around_client(TestClient.__init__)  # type: ignore[method-assign]
    Starlette.__call__ = around_call(Starlette.__call__)  # type: ignore[method-assign]
    if find_spec("fastapi") is not None:
        from fastapi import FastAPI

        FastAPI.__call__ = around_call(FastAPI.__call__)  # type: ignore[method-assign]


def around_client(make: Callable[..., None]) -> Callable[..., None]:
    """A constructor of TestClient that wraps the application."""

    @wraps(make)
    def wrapped(made: TestClient, /, app: Any, *args: Any, **options: Any) -> None:
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
            await BridgeMiddleware(inner)(scope, receive, send)

    return wrapped
