"""Applications of both ASGI versions, as one callable of (scope, receive, send)."""

import inspect
from typing import Any

from asgiref.compatibility import double_to_single_callable, is_double_callable

from .types import ASGIApp, Receive, Scope, Send


def single_callable(app: Any) -> ASGIApp:
    """Make any application an ASGI 3 callable.

    asgiref takes every callable that is not a coroutine function for one of ASGI 2, with its two
    calls. That includes a plain function of (scope, receive, send) that returns an awaitable, and
    a class of those three with `__await__`, as some frameworks' endpoints are; so whatever takes
    three arguments is left to be called with them.

    Args:
        app: an application of ASGI 3 or 2, or something that behaves like one.
    """
    if not is_double_callable(app):  # type: ignore[no-untyped-call]  # asgiref has no types here
        single: ASGIApp = app
        return single
    if takes(app, "scope", "receive", "send"):
        return _awaiting(app)
    double: ASGIApp = double_to_single_callable(app)  # type: ignore[no-untyped-call]  # likewise
    return double


def takes(function: Any, *arguments: str) -> bool:
    """Whether a callable can be called with these arguments, by position."""
    try:
        inspect.signature(function).bind(*arguments)
    except (TypeError, ValueError):  # ValueError: a builtin that does not tell its signature
        return False
    return True


def _awaiting(app: Any) -> ASGIApp:
    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    return call
