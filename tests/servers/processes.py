"""Real servers in processes of their own, on loopback, on ports that the system picks."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
LIMIT: Final = 30.0  # seconds that anything here may take
POLL: Final = 0.02

# What each server prints once it listens. Granian is given a port, and prints it, too.
ADDRESS: Final = re.compile(r"https?://127\.0\.0\.1:(\d+)")

QUIET: Final = ("--port=0", "--no-access-log")
COMMANDS: Final[Mapping[str, Sequence[str]]] = {
    "uvicorn-h11": ("uvicorn", "--http=h11", "--loop=asyncio", *QUIET),
    "uvicorn-httptools": ("uvicorn", "--http=httptools", "--loop=uvloop", *QUIET),
    # no workers is Hypercorn's word for "in this process"
    "hypercorn-asyncio": ("hypercorn", "--workers=0", "--bind=127.0.0.1:0"),
    "hypercorn-trio": ("hypercorn", "--workers=0", "--bind=127.0.0.1:0", "-k", "trio"),
    "granian": ("granian", "--interface=asgi", "--port={free_port}"),
}


@dataclass(frozen=True, slots=True)
class Server:
    """A running server.

    Attributes:
        name: a key of `COMMANDS`, or the command line's target.
        port: where it listens on 127.0.0.1.
        log: the file with all that it has printed.
        pid: its process; it may have started more.
    """

    name: str
    port: int
    log: Path
    pid: int

    def log_after(self, position: int) -> str:
        """What it has printed since the log was `position` characters long."""
        return self.log.read_text()[position:]


@contextmanager
def serving(name: str, app: str, directory: Path, *more: str) -> Iterator[Server]:
    """Run one of the servers with an application, as its users do; kill what is left at the end.

    Args:
        name: a key of `COMMANDS`.
        app: the application, as the servers' command lines want it.
        directory: where its log goes.
        *more: options of that server's own.
    """
    with reserved_port() as port:
        module, *options = (each.format(free_port=port) for each in COMMANDS[name])
        with running(name, [module, *options, *more, app], directory) as server:
            yield server


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port for who has to be given one, and shares it: granian and the proxies do.

    Nobody else is given a port that is bound; who sets SO_REUSEPORT may listen there.
    """
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        port: int = reserved.getsockname()[1]
        yield port


@contextmanager
def serving_by_command_line(target: str, directory: Path) -> Iterator[Server]:
    """Run `asgi-bridge serve` with a target."""
    with running(target, ["asgi_bridge", "serve", target, "--bind=127.0.0.1:0"], directory) as it:
        yield it


@contextmanager
def running(
    name: str,
    command: Sequence[str],
    directory: Path,
    *,
    python: str = sys.executable,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Run a module until the block ends, from the moment on at which it can be connected to.

    Args:
        name: of the server, for who looks at it.
        command: the module and its arguments.
        directory: for its log.
        python: the interpreter.
        environment: all of its environment; None is ours.
    """
    log = directory / "log.txt"
    with process([python, "-m", *command], log, environment) as started:
        yield Server(name, _port_once_it_listens(started, log), log, started.pid)


@contextmanager
def process(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the block ends; what it has started ends with it.

    Args:
        command: the program and its arguments.
        log: the file for all that it prints.
        environment: all of its environment; None is ours.
    """
    with log.open("wb") as file:
        it = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,  # its workers are in its group, and end with it
        )
    try:
        yield it
    finally:
        it.terminate()  # coverage is written by processes that end, not by killed ones
        with suppress(subprocess.TimeoutExpired):
            it.wait(LIMIT)
        with suppress(ProcessLookupError):
            os.killpg(it.pid, signal.SIGKILL)
        it.wait(LIMIT)


def _port_once_it_listens(started: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        assert started.poll() is None, f"the server has ended: {log.read_text()}"
        if found := ADDRESS.search(log.read_text()):
            port = int(found[1])
            with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                return port
        time.sleep(POLL)
    raise AssertionError(f"the server does not listen: {log.read_text()}")
