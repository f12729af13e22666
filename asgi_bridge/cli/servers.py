"""The three servers. Each gets the settings and a bound socket, and serves until told to end.

Hypercorn and uvicorn serve on that socket, in the process they are called in; `supervisor` makes
several of them, or one anew after each change. Granian starts its workers itself, and they bind
the port on their own, with SO_REUSEPORT; our socket then only keeps it from everyone else.
"""

import functools
import importlib.util
import logging
import multiprocessing
import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Final

from ..types import ASGIApp
from .binding import BACKLOG
from .errors import CommandError
from .graceful import CANCEL_GRACE, FORCE_GRACE, Graceful
from .loading import create_app, ws_max_bytes_of
from .on_hypercorn import SERVE_ON
from .settings import Settings
from .target import directory_of, parse_target


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """How to run one server.

    Attributes:
        serve: serves until SIGINT or SIGTERM and returns the exit code.
        install: what pip installs to have it.
        starts_workers: it sees to --workers and --reload itself, and to listening.
        ws_max_bytes: the longest WebSocket frame that it can be told to take; None for any.
    """

    serve: Callable[[Settings, socket.socket], int]
    install: str
    starts_workers: bool
    ws_max_bytes: int | None = None


def serve_with_hypercorn(settings: Settings, bound: socket.socket) -> int:
    from hypercorn.config import Config
    from hypercorn.utils import LifespanFailureError, LifespanTimeoutError

    app = create_app(settings)
    config = Config()
    config.bind = [f"fd://{bound.detach()}"]
    config.backlog = BACKLOG
    config.keep_alive_timeout = settings.keep_alive_timeout
    config.graceful_timeout = settings.graceful_timeout + CANCEL_GRACE
    config.websocket_max_message_size = ws_max_bytes_of(app)
    # Loggers, not file names: names would give them handlers beside the root's.
    config.errorlog = logging.getLogger("hypercorn.error")
    config.accesslog = logging.getLogger("hypercorn.access") if settings.access_log else None
    try:
        SERVE_ON[settings.worker_class](Graceful(app, settings.graceful_timeout), config)
    except (LifespanFailureError, LifespanTimeoutError) as error:
        raise CommandError(str(error), exit_code=1) from error
    return 0


def serve_with_uvicorn(settings: Settings, bound: socket.socket) -> int:
    from uvicorn import Config, Server

    class QuietServer(Server):
        """Ends as uvicorn does, but does not then raise the signal again that has ended it."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            self.force_exit = self.should_exit and sig == signal.SIGINT
            self.should_exit = True

    app = create_app(settings)
    config = Config(
        Graceful(app, settings.graceful_timeout),
        interface="asgi3",
        log_config=None,
        access_log=settings.access_log,
        backlog=BACKLOG,
        timeout_keep_alive=settings.keep_alive_timeout,
        timeout_graceful_shutdown=settings.graceful_timeout + CANCEL_GRACE,
        ws_max_size=ws_max_bytes_of(app),
    )
    # Not uvicorn.run: it takes a socket only as a number, takes that for a unix socket, and sets
    # no TCP_NODELAY on its connections.
    QuietServer(config).run(sockets=[bound])
    return 0


def serve_with_granian(settings: Settings, bound: socket.socket) -> int:
    from granian import Granian
    from granian.constants import Interfaces
    from granian.http import HTTP1Settings
    from granian.log import LogLevels

    host, port = bound.getsockname()[:2]
    # Set after bind: the port was ours alone to take, and is granian's to share from here on.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    # A forked worker has the parent's modules, and would serve the old code after a reload.
    multiprocessing.set_start_method("spawn", force=True)
    to_stderr = {"class": "logging.StreamHandler", "stream": "ext://sys.stderr"}
    Granian(
        settings.target,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        workers=settings.workers,
        backlog=BACKLOG,
        log_level=LogLevels(settings.log_level),
        log_access=settings.access_log,
        log_dictconfig={
            "handlers": {
                "console": {"formatter": "generic", **to_stderr},
                "access": {"formatter": "access", **to_stderr},
            }
        },
        # Measured: an idle connection is closed after this long, there is no timeout beside it.
        http1_settings=HTTP1Settings(header_read_timeout=settings.keep_alive_timeout * 1000),
        workers_kill_timeout=settings.graceful_timeout + FORCE_GRACE + CANCEL_GRACE,
        reload=settings.reload,
        reload_paths=[directory_of(parse_target(settings.target), settings.app_dir)],
    ).serve(target_loader=functools.partial(create_for_granian, settings), wrap_loader=False)
    return 0


def create_for_granian(settings: Settings) -> ASGIApp:
    return Graceful(create_app(settings), settings.graceful_timeout)


SERVERS: Final[Mapping[str, Server]] = {
    "hypercorn": Server(
        serve=serve_with_hypercorn, install="'asgi_bridge[serve]'", starts_workers=False
    ),
    "uvicorn": Server(serve=serve_with_uvicorn, install="uvicorn", starts_workers=False),
    # What its WebSocket library takes in one frame; it has no option for it.
    "granian": Server(
        serve=serve_with_granian,
        install="granian",
        starts_workers=True,
        ws_max_bytes=16 * 1024 * 1024,
    ),
}


def check_installed(settings: Settings) -> None:
    """Look for the packages that the settings need.

    Raises:
        CommandError: one is missing; the message says how to install it.
    """
    needed = {settings.server: SERVERS[settings.server].install}
    if settings.worker_class != "asyncio":
        needed[settings.worker_class] = settings.worker_class
    if settings.server == "granian" and settings.reload:
        needed["watchfiles"] = "'granian[reload]'"
    for package, install in needed.items():
        if importlib.util.find_spec(package) is None:
            raise CommandError(f"{package} is not installed; pip install {install}")
