"""The app and the logging of a process that serves.

The command loads the target once itself, so that its errors come at once. A server that runs in
the command's own process gets that same app; worker processes load it again.
"""

import asyncio
import functools
import inspect
import logging
import sys
from pathlib import Path
from typing import Any, NoReturn

from ..types import ASGIApp
from .errors import CommandError, tell
from .hypercorn_quirks import OnceASecond
from .kinds import app_of
from .settings import Settings
from .target import calling_user_code, load_object, parse_target

# Access loggers speak at INFO whatever the level of the rest: their switch is --access-log.
ACCESS_LOGGERS = ("hypercorn.access", "uvicorn.access")

# The longest WebSocket message of an app that says nothing: Hypercorn's and uvicorn's own default.
WS_MAX_BYTES = 16 * 1024 * 1024

# Seconds after which a thread that computes in Python lets others have a turn, and what Python has
# without being told. Each of the loop's system calls may wait for all threads that compute: with
# eight of them, one in a hundred answers of the loop took 260 to 457 ms at 5 ms, and 39 to 62 ms at
# 0.5 ms (docs/reliability.md).
SWITCH_INTERVAL = 0.0005
PYTHONS_SWITCH_INTERVAL = 0.005

# Who logs a cancelled request with its traceback: asyncio's streams up to Python 3.12, and uvicorn.
CANCELLATION_LOGGERS = ("asyncio", "uvicorn.error")

# One for the process: it counts.
ONCE_A_SECOND = OnceASecond()


def load_app(settings: Settings) -> ASGIApp:
    """Load the target and make an app of it, once per process.

    Raises:
        CommandError: whatever is wrong with the target.
    """
    return load_target(settings.target, settings.app_dir, settings.factory)


@functools.cache
def load_target(name: str, app_dir: str, factory: bool) -> ASGIApp:
    target = parse_target(name)
    loaded = load_object(target, app_dir=Path(app_dir))
    if factory:
        if not callable(loaded) or inspect.iscoroutinefunction(loaded):
            raise CommandError(f"--factory: {name} is not a plain function or class")
        loaded = calling_user_code(f"calling {name}", loaded)
        name = f"what {name} returned"
    return app_of(loaded, name)


def create_app(settings: Settings) -> ASGIApp:
    """Return the app for a server in this process, with the process' logging set up.

    Under --reload a target that cannot be loaded is not the end: an app that answers 500 with
    the reason takes its place until the file is mended.

    Raises:
        CommandError: whatever is wrong with the target, without --reload.
    """
    try:
        app = load_app(settings)
    except CommandError as error:
        if not settings.reload:
            raise
        tell(f"error: {error}")
        app = app_answering(error)
    configure_logging(settings.log_level)
    take_turns(float(wish_of(app, "switch_interval", SWITCH_INTERVAL)))
    return app


def take_turns(interval: float = SWITCH_INTERVAL) -> None:
    """Let the event loop have its turn beside threads that compute; what the target set stands."""
    if abs(sys.getswitchinterval() - PYTHONS_SWITCH_INTERVAL) < SWITCH_INTERVAL / 10:
        sys.setswitchinterval(interval)


def ws_max_bytes_of(app: ASGIApp) -> int:
    """The longest WebSocket message to allow: what the app says, else what servers usually do."""
    return int(wish_of(app, "ws_max_bytes", WS_MAX_BYTES))


def preferred_server_of(app: ASGIApp) -> str | None:
    """The server that the app says it is served best by."""
    name = wish_of(app, "preferred_server", None)
    return None if name is None else str(name)


def wish_of(app: ASGIApp, name: str, default: Any) -> Any:
    """What an app says of how to serve it."""
    wrapped = getattr(app, "app", app)  # what a BridgeMiddleware is around
    return getattr(wrapped, name, default)


def app_answering(error: CommandError) -> ASGIApp:
    from .. import HTTPError, Request, Response, handler

    def unloadable(request: Request, response: Response) -> NoReturn:
        raise HTTPError(500, f"asgi-bridge: {error}\n")

    return handler(unloadable)


def configure_logging(level: str) -> None:
    """Send every log to stderr, unless the target has set up logging itself."""
    logging.basicConfig(
        level=level.upper(),
        format="%(asctime)s [%(process)d] [%(levelname)s] %(name)s: %(message)s",
    )
    for name in ACCESS_LOGGERS:
        logging.getLogger(name).setLevel(logging.INFO)
    for name in CANCELLATION_LOGGERS:
        logging.getLogger(name).addFilter(is_no_cancellation)
    logging.getLogger("asyncio").addFilter(ONCE_A_SECOND)


def is_no_cancellation(record: logging.LogRecord) -> bool:
    """Whether a log record is about something else than a task that was cancelled.

    Cancelled is what the requests are that outlive the graceful timeout. Their tracebacks, of
    forty lines each, show where they were waiting and nothing that is wrong.
    """
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))
