"""What a loaded object is, and the ASGI app to make of it.

- A `BridgeMiddleware`, or what `handler` returned: the object itself.
- An application that says `needs_no_bridge`, as an ETL server does: the object itself.
- A coroutine function of (scope, receive, send), or an object with such a `__call__`: an ASGI
  app, served inside a `BridgeMiddleware`.
- A plain callable of the same three that is no handler, or a class of them with `__await__`: it
  returns an awaitable, and is an ASGI app too.
- A class of (scope) whose `__call__` is a coroutine function of (receive, send), or a plain
  function whose one argument is called `scope`: an ASGI 2 app, which `BridgeMiddleware` knows.
- A plain callable of two arguments, (request, response): `handler` is made of it.

Nothing is called to find out. A function without arguments is therefore never taken for a
factory; `--factory` says that it is one.
"""

import inspect
from typing import Any

from ..single import takes
from ..types import ASGIApp
from .errors import CommandError


def app_of(loaded: object, name: str) -> ASGIApp:
    """Return the ASGI app to serve for an object.

    Args:
        loaded: what the target names.
        name: how error messages call it.

    Raises:
        CommandError: it is none of the kinds above.
    """
    from .. import BridgeMiddleware, handler
    from ..handler import HandlerApp

    if isinstance(loaded, BridgeMiddleware | HandlerApp) or needs_no_bridge(loaded):
        return loaded  # type: ignore[return-value] # what says that is an application
    if not callable(loaded):
        raise CommandError(f"{name} is of type {type(loaded).__name__}, not an app or a function")
    if is_asgi3(loaded) or is_asgi2(loaded):
        return BridgeMiddleware(loaded)
    if is_handler_function(loaded):
        return handler(loaded)
    raise CommandError(f"{name} {why_not(loaded)}")


def needs_no_bridge(loaded: object) -> bool:
    return not inspect.isclass(loaded) and getattr(loaded, "needs_no_bridge", False) is True


def is_asgi3(loaded: Any) -> bool:
    if inspect.isclass(loaded) and not hasattr(loaded, "__await__"):
        return False
    return takes(loaded, "scope", "receive", "send") and not is_handler_function(loaded)


def is_asgi2(loaded: Any) -> bool:
    if inspect.isclass(loaded):
        call = loaded.__call__
        return (
            takes(loaded, "scope")
            and inspect.iscoroutinefunction(call)
            and takes(call, "self", "receive", "send")
        )
    # One argument alone proves nothing: it may be a handler that forgot its response.
    return not is_coroutine_callable(loaded) and parameter_names(loaded) == ["scope"]


def is_handler_function(loaded: Any) -> bool:
    return (
        not inspect.isclass(loaded)
        and not is_coroutine_callable(loaded)
        and takes(loaded, "request", "response")
    )


def is_coroutine_callable(loaded: Any) -> bool:
    return any(
        inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each)
        for each in (loaded, loaded.__call__)
    )


def parameter_names(loaded: Any) -> list[str]:
    try:
        return list(inspect.signature(loaded).parameters)
    except (TypeError, ValueError):
        return []


def why_not(loaded: Any) -> str:
    """The end of the sentence that began with the target's name."""
    if inspect.isclass(loaded):
        return "is a class; name an instance of it, or add --factory to have one made"
    if is_coroutine_callable(loaded) and takes(loaded, "request", "response"):
        return (
            "is an async def of two arguments: a handler of (request, response) is a plain def, "
            "an async ASGI app takes (scope, receive, send)"
        )
    if takes(loaded):
        return "takes no arguments; if it returns the app, add --factory"
    names = ", ".join(parameter_names(loaded)) or "arguments it does not tell"
    return (
        f"takes ({names}): an ASGI app takes (scope, receive, send), a handler (request, response)"
    )
