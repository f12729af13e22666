"""The three servers: each gets the settings and a bound socket, and returns the exit code.

What differs: Hypercorn and uvicorn take the socket itself. Granian binds the port on its own, in
every worker, with SO_REUSEPORT; our socket then only keeps the port from everyone else.
"""

import importlib.util
import logging
import multiprocessing
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .binding import BACKLOG
from .errors import CommandError
from .settings import Settings
from .target import parse_target
from .workers import create_app

WORKER_ENDED = "a worker process ended without being told to, and the server with it"
FACTORY = "asgi_bridge.cli.workers:create_app"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """How to run one server.

    Attributes:
        run: serves until SIGINT or SIGTERM and returns the exit code.
        install: what pip installs to have it.
        takes_socket: it serves on the socket it is given, which listens already.
    """

    run: Callable[[Settings, socket.socket], int]
    install: str
    takes_socket: bool


def run_hypercorn(settings: Settings, bound: socket.socket) -> int:
    from hypercorn.config import Config
    from hypercorn.run import run
    from hypercorn.utils import LifespanFailureError, LifespanTimeoutError

    config = Config()
    # Hypercorn evaluates what stands behind the colon, so this is a call.
    config.application_path = "asgi:asgi_bridge.cli.workers:create_app_for_hypercorn()"
    config.bind = [f"fd://{bound.detach()}"]
    config.backlog = BACKLOG
    config.worker_class = settings.worker_class
    config.workers = settings.workers
    if settings.workers == 1 and not settings.reload and settings.worker_class != "trio":
        # 0 is Hypercorn's word for "in this process". On trio it would not hear SIGTERM there.
        config.workers = 0
    config.use_reloader = settings.reload
    config.keep_alive_timeout = settings.keep_alive_timeout
    config.graceful_timeout = settings.graceful_timeout
    # Loggers, not file names: names would give them handlers beside the root's.
    config.errorlog = logging.getLogger("hypercorn.error")
    config.accesslog = logging.getLogger("hypercorn.access") if settings.access_log else None
    try:
        if config.workers == 0:
            return run(config)
        with noting_signals() as was_told_to_end:
            exit_code = run(config)
            if not was_told_to_end():
                raise CommandError(WORKER_ENDED, exit_code=1)
            return min(abs(exit_code), 1)  # negative: a worker died of a signal
    except (LifespanFailureError, LifespanTimeoutError) as error:
        raise CommandError(str(error), exit_code=1) from error


def run_uvicorn(settings: Settings, bound: socket.socket) -> int:
    from uvicorn import Config, Server
    from uvicorn.supervisors import ChangeReload, Multiprocess

    config = Config(
        FACTORY,
        factory=True,
        interface="asgi3",
        reload=settings.reload,
        reload_dirs=[str(each) for each in watched_directories(settings)] or None,
        workers=settings.workers,
        log_config=None,
        access_log=settings.access_log,
        backlog=BACKLOG,
        timeout_keep_alive=settings.keep_alive_timeout,
        timeout_graceful_shutdown=settings.graceful_timeout,
    )
    server = Server(config)
    # Not uvicorn.run: it takes a socket only as a number, takes that for a unix socket, and sets
    # no TCP_NODELAY on its connections.
    if settings.reload:
        ChangeReload(config, target=server.run, sockets=[bound]).run()
    elif settings.workers > 1:
        with noting_signals() as was_told_to_end:
            Multiprocess(config, sockets=[bound]).run()
            if not was_told_to_end():
                raise CommandError(WORKER_ENDED, exit_code=1)
    else:
        server.run(sockets=[bound])
    return 0


def run_granian(settings: Settings, bound: socket.socket) -> int:
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
        workers_kill_timeout=settings.graceful_timeout,
        reload=settings.reload,
        reload_paths=watched_directories(settings),
    ).serve(target_loader=create_app, wrap_loader=False)
    return 0


SERVERS: Final[Mapping[str, Server]] = {
    "hypercorn": Server(run=run_hypercorn, install="'asgi_bridge[serve]'", takes_socket=True),
    "uvicorn": Server(run=run_uvicorn, install="uvicorn", takes_socket=True),
    "granian": Server(run=run_granian, install="granian", takes_socket=False),
}


@contextmanager
def noting_signals() -> Iterator[Callable[[], bool]]:
    """Give a function that says whether SIGINT or SIGTERM has come, whoever handles it.

    Hypercorn and uvicorn end when a worker cannot start or, Hypercorn, dies, and then may return
    as if they had been told to: measured, an exit code of 0 on which no service manager would
    start them again. For use where no event loop runs, which would take the wake-up descriptor.
    """
    notes, noted = socket.socketpair()
    with notes, noted:
        notes.setblocking(False)
        noted.setblocking(False)
        before = signal.set_wakeup_fd(noted.fileno())
        try:
            yield lambda: not {signal.SIGINT, signal.SIGTERM}.isdisjoint(received(notes))
        finally:
            signal.set_wakeup_fd(before)


def received(notes: socket.socket) -> bytes:
    try:
        return notes.recv(4096)
    except BlockingIOError:
        return b""


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


def watched_directories(settings: Settings) -> list[Path]:
    """Where uvicorn and granian look for changes. Hypercorn watches every imported file."""
    if not settings.reload:
        return []
    origin = parse_target(settings.target).origin
    return [origin.resolve().parent if isinstance(origin, Path) else Path(settings.app_dir)]
