"""Real proxies in processes of their own, in front of servers."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..servers.processes import LIMIT, POLL, Server, process, reserved_port
from .configurations import Configuration


@dataclass(frozen=True, slots=True)
class Front:
    """A running proxy, and what is behind it.

    Attributes:
        configuration: the proxy's.
        port: where it listens on 127.0.0.1.
        log: the file with all that it has printed.
        server: the one that it passes requests to.
    """

    configuration: Configuration
    port: int
    log: Path
    server: Server


@contextmanager
def in_front_of(server: Server, configuration: Configuration, directory: Path) -> Iterator[Front]:
    """Run a proxy in front of a server until the block ends.

    Args:
        server: where requests go.
        configuration: the proxy and its settings.
        directory: for its files.
    """
    program = configuration.program
    path = program.path
    if path is None:
        pytest.skip(f"the wheel {program.package} is not installed; some platforms have none")
    with reserved_port() as port:
        file = configuration.written(directory, port, server.port)
        options = (each.format(file=file, directory=directory) for each in program.options)
        log = directory / "log.txt"
        # Caddy keeps things in the home directory.
        environment = {**os.environ, "HOME": str(directory), "XDG_DATA_HOME": str(directory)}
        with process([str(path), *options], log, environment) as started:
            _until_it_listens(started, port, log)
            yield Front(configuration, port, log, server)


def _until_it_listens(started: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        assert started.poll() is None, f"the proxy has ended: {log.read_text()}"
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(POLL)
        else:
            return
    raise AssertionError(f"the proxy does not listen: {log.read_text()}")
