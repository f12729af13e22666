"""Servers as child processes on 127.0.0.1, on ports that the system picks."""

import contextlib
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Final

from .apps import APPS
from .load import Address
from .paired import Failed, Unusable

REPOSITORY: Final = Path(__file__).parents[2]
NEEDS: Final = {"uvicorn": ("uvicorn", "httptools", "uvloop"), "hypercorn": ("hypercorn",)}
STOP_SECONDS: Final = 5.0
DYING_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: where it listens, its process, and the file that it logs to."""

    address: Address
    process: subprocess.Popen[bytes]
    log: IO[bytes]

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Do something with it.

        Raises:
            Failed: that failed because the server is dead; its last line of output says why.
        """
        try:
            yield
        except Failed as failure:
            if last_words := _last_words(self.process, self.log):
                raise Failed(last_words) from failure
            raise


@contextlib.contextmanager
def serving(server: str, app: str) -> Iterator[Server]:
    """Run one application on one server.

    The socket listens before the server is there, so a first request waits for it instead of
    being refused; no port is free at one moment and taken at the next.

    Raises:
        Unusable: a module that it needs is not installed.
    """
    if missing := missing_for(server, app):
        raise Unusable(f"{missing} not installed")
    with tempfile.TemporaryFile() as log:
        process, address = _start(server, app, log)
        try:
            yield Server(address, process, log)
        finally:
            _stop(process)


def missing_for(server: str, app: str) -> str | None:
    """The first module that the pair needs and that is not installed."""
    return next((n for n in NEEDS[server] if find_spec(n) is None), None) or APPS[app].missing()


def _start(server: str, app: str, log: IO[bytes]) -> tuple[subprocess.Popen[bytes], Address]:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        descriptor = listener.fileno()
        process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.serve", server, app, str(descriptor)],
            cwd=REPOSITORY,
            pass_fds=(descriptor,),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        host, port = listener.getsockname()
        return process, (host, port)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_words(process: subprocess.Popen[bytes], log: IO[bytes]) -> str | None:
    try:
        process.wait(DYING_SECONDS)  # its connections are closed a moment before it is gone
    except subprocess.TimeoutExpired:
        return None
    log.seek(0)
    lines = log.read().decode(errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "died without a word")
