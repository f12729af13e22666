"""A pytest plugin: every application that a suite tests is called through BridgeMiddleware.

It wraps what Starlette's TestClient is given. To be used from the suite's own directory:

    PYTHONPATH=<this directory> python -m pytest tests -p wrapping
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest
from starlette.testclient import TestClient

from asgi_bridge import BridgeMiddleware


def pytest_configure(config: pytest.Config) -> None:
    """Put the bridge in place before the suite's modules are imported."""
    TestClient.__init__ = around_client(TestClient.__init__)  # type: ignore[method-assign]


def around_client(make: Callable[..., None]) -> Callable[..., None]:
    """A constructor of TestClient that wraps the application."""

    @wraps(make)
    def wrapped(made: TestClient, /, app: Any, *args: Any, **options: Any) -> None:
        make(made, BridgeMiddleware(app), *args, **options)

    return wrapped
