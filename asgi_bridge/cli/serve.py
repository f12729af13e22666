"""`asgi-bridge serve`: an app, a handler or a plain function, behind a real server."""

import argparse
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ..types import ASGIApp
from .binding import BACKLOG, bind, parse_bind, url_of
from .errors import CommandError, tell
from .loading import configure_logging, load_app, preferred_server_of, ws_max_bytes_of
from .servers import SERVERS, check_installed
from .settings import Settings
from .supervisor import supervise

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

DESCRIPTION = """\
TARGET names an ASGI app (served inside a BridgeMiddleware), an asgi_bridge handler, or a plain
blocking function of (request, response) (made a handler)."""

AUTO = "auto"
MIB = 1024 * 1024
WORKER_CLASSES = ("asyncio", "uvloop", "trio")
LOG_LEVELS = ("critical", "error", "warning", "info", "debug")


def add_parser(subparsers: "Subparsers") -> None:
    """Declare the subcommand and its arguments."""
    parser = subparsers.add_parser(
        "serve",
        help="serve an ASGI app, a handler or a blocking function",
        description=DESCRIPTION,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("target", metavar="TARGET", help="module:name or path/to/file.py:name")
    parser.add_argument(
        "-b",
        "--bind",
        type=bind_address,
        default="127.0.0.1:8000",
        metavar="HOST:PORT",
        help="address to listen at; port 0 takes a free one, which is printed",
    )
    parser.add_argument(
        "--server",
        choices=(AUTO, *SERVERS),
        default=AUTO,
        help="what serves; auto is hypercorn, or what TARGET asks for if that is installed, as "
        "AIStore ETL servers do for uvicorn",
    )
    parser.add_argument(
        "-w",
        "--workers",
        type=whole_number(1),
        default=1,
        metavar="N",
        help="processes that serve side by side",
    )
    parser.add_argument(
        "--reload", action="store_true", help="start again when a source file changes"
    )
    parser.add_argument(
        "-k",
        "--worker-class",
        choices=WORKER_CLASSES,
        default="asyncio",
        help="Hypercorn's event loop; the other servers choose theirs",
    )
    parser.add_argument(
        "--factory",
        action="store_true",
        help="TARGET is called, without arguments, and returns what is to be served",
    )
    parser.add_argument(
        "--app-dir",
        type=directory,
        default=".",
        metavar="DIR",
        help="where modules are looked for first",
    )
    parser.add_argument(
        "--log-level", choices=LOG_LEVELS, default="warning", help="what goes to stderr"
    )
    parser.add_argument(
        "--access-log", action="store_true", help="log one line for each request, too"
    )
    parser.add_argument(
        "--keep-alive",
        type=whole_number(1),
        default=75,
        dest="keep_alive_timeout",
        metavar="SECONDS",
        help="how long an idle connection stays open",
    )
    parser.add_argument(
        "--graceful-timeout",
        type=whole_number(1),
        default=10,
        metavar="SECONDS",
        help="how long running requests may go on after SIGINT or SIGTERM",
    )


def run(parsed: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; return the exit code.

    Raises:
        CommandError: something is wrong with the arguments, the target or the address; nothing
            has been served.
    """
    host, port = parsed.bind
    settings = Settings(**{each.name: getattr(parsed, each.name) for each in fields(Settings)})
    if settings.reload and settings.workers > 1:
        raise CommandError("--reload is for development, with one worker; leave out --workers")
    if settings.server not in ("hypercorn", AUTO) and settings.worker_class != "asyncio":
        raise CommandError(f"--worker-class is Hypercorn's, not {settings.server}'s")
    if settings.server != AUTO:
        check_installed(settings)
    with sigterm_as_interrupt():
        app = load_app(settings)
        if settings.server == AUTO:
            settings = replace(settings, server=server_for(app, settings))
            check_installed(settings)
        warn_of_messages(app, settings)
        configure_logging(settings.log_level)
        with closing(bind(host, port)) as bound:
            server = SERVERS[settings.server]
            if not server.starts_workers:
                # From here on a client's connection waits for the server, it is not refused.
                bound.listen(BACKLOG)
            tell(f"serving {settings.target} on {url_of(bound)} ({settings.server})")
            if server.starts_workers or (settings.workers == 1 and not settings.reload):
                return server.serve(settings, bound)
            return supervise(server.serve, settings, bound)


def server_for(app: ASGIApp, settings: Settings) -> str:
    """The server to take where none was named."""
    wanted = preferred_server_of(app)
    if wanted is None or wanted not in SERVERS or settings.worker_class != "asyncio":
        return "hypercorn"
    return wanted if find_spec(wanted) is not None else "hypercorn"


def warn_of_messages(app: ASGIApp, settings: Settings) -> None:
    """Say so where a server takes no WebSocket messages as long as the app wants them."""
    most = SERVERS[settings.server].ws_max_bytes
    wanted = ws_max_bytes_of(app)
    if most is not None and wanted > most:
        tell(
            f"{settings.server} takes WebSocket frames of {most // MIB} MiB at most, and cuts the "
            f"connection at longer ones; {settings.target} asks for {wanted // MIB} MiB: use "
            "--server uvicorn, or hypercorn"
        )


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt, as SIGINT does, while no server handles it."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def bind_address(text: str) -> tuple[str, int]:
    try:
        return parse_bind(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def whole_number(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"a whole number of at least {least}, not {text!r}")
        return int(text)

    return parse


def directory(text: str) -> str:
    path = Path(text).resolve()
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"there is no directory {text}")
    return str(path)
