"""The three forms in which an application is run, and one process for many of them."""

import asyncio
import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final
from urllib.parse import parse_qs

from asgi_bridge import BridgeMiddleware
from asgi_bridge.types import ASGIApp, Receive, Scope, Send

from ..mounting import mounted
from . import notes


class Form(StrEnum):
    """Where the bridge is."""

    WITHOUT = "without"
    INSIDE = "inside"  # app.add_middleware(BridgeMiddleware)
    AROUND = "around"  # BridgeMiddleware(app)


def inside(app: Any, form: Form) -> None:
    """Add the bridge to a Starlette application, where that is the form.

    Middleware that is added later is around it.
    """
    if form is Form.INSIDE:
        app.add_middleware(BridgeMiddleware)


def around(app: ASGIApp, form: Form) -> ASGIApp:
    """The application, with the bridge around it where that is the form."""
    return BridgeMiddleware(app) if form is Form.AROUND else app


def worn(app: Any, form: Form) -> ASGIApp:
    """A Starlette application in one of the forms."""
    inside(app, form)
    return around(app, form)


Make = Callable[[Form], ASGIApp]


def in_all_forms(kinds: Mapping[str, Make]) -> ASGIApp:
    """One application with all of these in all forms, at /form-kind/, and with what the tests ask.

    /notes?key= is what was noted under a key; /gate?key= opens a gate; /tasks counts tasks.
    """
    apps: dict[str, ASGIApp] = {
        f"{form}-{name}": make(form) for name, make in kinds.items() for form in Form
    }
    return mounted({**apps, "notes": told, "gate": opened, "tasks": counted})


def key_of(scope: Scope) -> str:
    """The query's key."""
    key: str = parse_qs(scope["query_string"].decode())["key"][0]
    return key


async def told(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, notes.of(key_of(scope)))


async def opened(scope: Scope, receive: Receive, send: Send) -> None:
    notes.gate(key_of(scope)).set()
    await answer(send, None)


async def counted(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, sum(map(is_an_applications, asyncio.all_tasks())))


def is_an_applications(task: asyncio.Task[Any]) -> bool:
    """Whether a task is not one of Hypercorn's own, of which those of closed connections linger.

    The one in which Hypercorn calls an application counts.
    """
    coroutine: Any = task.get_coro()
    code = getattr(coroutine, "cr_code", None)
    return code is None or "hypercorn" not in code.co_filename or code.co_name == "_handle"


JSON: Final = [(b"content-type", b"application/json")]


async def answer(send: Send, value: object) -> None:
    body = json.dumps(value).encode()
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": 200, "headers": [*JSON, length]})
    await send({"type": "http.response.body", "body": body})
