"""Applications that fail by themselves while their client is there and waits."""

import asyncio
import errno
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Annotated, Final

from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from asgi_bridge.types import ASGIApp, Message, Receive, Scope, Send

from .forms import Form, around, inside, key_of, worn
from .notes import note


class RequestAborted(Exception):
    """The application's own, of a name that frameworks have for a client that left."""


class ClientDisconnect(Exception):
    """Likewise."""


class ClientDisconnected(ConnectionError):
    """Likewise, and an OSError."""


def named(key: str) -> None:
    """Fail in an `except` clause, by a name that nobody has imported."""
    try:
        raise ConnectionResetError(f"upstream {key}")
    except ClientHasGone:  # type: ignore[name-defined]  # noqa: F821  # that is the failure
        pass


def finally_failed(key: str) -> None:
    """Fail in a `finally`, on the way out of an OSError."""
    try:
        raise TimeoutError(f"upstream {key}")
    finally:
        dict[str, str]()[f"lost {key}"]


def raising(error: Callable[[str], Exception]) -> Callable[[str], None]:
    """A function that raises this, with a key for its text."""

    def fail(key: str) -> None:
        raise error(key)

    return fail


def grouped(key: str) -> Exception:
    return ExceptionGroup("both", [TimeoutError(key), OSError(key)])


def caused(key: str) -> Exception:
    error = RuntimeError(key)
    error.__cause__ = ConnectionResetError("upstream")
    return error


# What goes wrong, and the class that the server's log has to name.
FAILURES: Final[Mapping[str, tuple[Callable[[str], None], str]]] = {
    "missing": (raising(lambda key: FileNotFoundError(2, key)), "FileNotFoundError"),
    "timeout": (raising(TimeoutError), "TimeoutError"),
    "broken-pipe": (raising(BrokenPipeError), "BrokenPipeError"),
    "full": (raising(lambda key: OSError(errno.ENOSPC, key)), "OSError"),
    "aborted": (raising(RequestAborted), "RequestAborted"),
    "disconnect": (raising(ClientDisconnect), "ClientDisconnect"),
    "disconnected": (raising(ClientDisconnected), "ClientDisconnected"),
    "caused": (raising(caused), "RuntimeError"),
    "grouped": (raising(grouped), "ExceptionGroup"),
    "named": (named, "NameError"),
    "finally": (finally_failed, "KeyError"),
}


async def generated(request: Request) -> AsyncIterator[bytes]:
    """Fail before the first chunk or after it, as the path says."""
    fail, _ = FAILURES[request.path_params["failure"]]
    if request.path_params["when"] == "later":
        yield b"part one\n"
        await asyncio.sleep(0.01)
    fail(request.query_params["key"])


async def fail_in_stream(request: Request) -> Response:
    """Read the body first, if the query says so."""
    if "read" in request.query_params:
        await request.body()
    return StreamingResponse(generated(request))


async def on_any(request: Request, error: Exception) -> Response:
    note(request.query_params["key"], type(error).__name__)
    return PlainTextResponse("sorry", 500)


def on_starlette(form: Form) -> ASGIApp:
    """A stream that fails, and a handler of exceptions."""
    route = Route("/{when}/{failure}", fail_in_stream, methods=["GET", "POST"])
    return worn(Starlette(routes=[route], exception_handlers={Exception: on_any}), form)


async def session(key: str) -> AsyncIterator[str]:
    """A dependency that commits, or rolls back and says why."""
    try:
        yield key
    except BaseException as error:
        note(key, f"rolls back after {type(error).__name__}")
        raise
    note(key, "commits")


def on_fastapi(form: Form) -> ASGIApp:
    """The same with a dependency, which sees the failure."""
    app = FastAPI()

    @app.api_route("/{when}/{failure}", methods=["GET", "POST"])
    async def fail(request: Request, key: Annotated[str, Depends(session)]) -> Response:
        return await fail_in_stream(request)

    return worn(app, form)


class Full:
    """A middleware whose `send` fails, as one that keeps a copy on a disk that is full does.

    The query's `at` is the number of the message at which it does.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key, at = key_of(scope), int(scope["path"][-1])
        sent = 0  # messages that went on

        async def send_and_keep(message: Message) -> None:
            nonlocal sent
            if sent == at:
                raise OSError(errno.ENOSPC, f"no room for {key}")
            sent += 1
            await send(message)

        await self._app(scope, receive, send_and_keep)


async def streamed(request: Request) -> Response:
    """Two chunks; the body is read first, if the query says so."""
    if "read" in request.query_params:
        await request.body()

    async def generate() -> AsyncIterator[bytes]:
        yield b"part one\n"
        await asyncio.sleep(0.01)
        yield b"part two\n"

    return StreamingResponse(generate())


def on_full_disk(form: Form) -> ASGIApp:
    """A stream whose outer middleware fails."""
    app = Starlette(routes=[Route("/{at}", streamed, methods=["GET", "POST"])])
    inside(app, form)
    return Full(around(app, form))


async def sending(scope: Scope, receive: Receive, send: Send) -> None:
    """Send twice, and note what that came to."""
    key = key_of(scope)
    try:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"part one\n", "more_body": True})
        await send({"type": "http.response.body", "body": b"part two\n", "more_body": False})
    except OSError as error:
        note(key, f"{type(error).__name__} {error.errno}")
        raise


def bare_on_full_disk(form: Form) -> ASGIApp:
    """A bare application whose outer middleware fails."""
    return Full(around(sending, form))
