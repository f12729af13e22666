"""The command as its users run it: a process of its own, on loopback, on a port of its choice."""

import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import asgi_bridge

T = TypeVar("T")

ROOT = Path(asgi_bridge.__file__).parent.parent
LIMIT = 30.0  # seconds that anything here may take
POLL = 0.02

SERVERS = ("hypercorn", "uvicorn", "granian")

BARE_APP = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    headers = [(b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"plain"})
"""


class Command:
    """A running `asgi-bridge` process and what it wrote to stderr."""

    def __init__(self, process: subprocess.Popen[bytes], stderr: Path) -> None:
        self.process = process
        self._stderr = stderr

    @property
    def stderr(self) -> str:
        return self._stderr.read_text()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until stderr holds the pattern; fail at once if the process ends without."""

        def look() -> re.Match[str] | None:
            ended = self.process.poll() is not None
            found = re.search(pattern, self.stderr)
            assert found or not ended, f"ended with {self.process.returncode}: {self.stderr}"
            return found

        return eventually(look)

    @property
    def port(self) -> int:
        return int(self.wait_for(r"serving \S+ on http://\S+:(\d+) \(")[1])

    @contextmanager
    def connection(self) -> Iterator[http.client.HTTPConnection]:
        """An open connection, tried for until the server listens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)

        def is_open() -> bool:
            with suppress(ConnectionRefusedError):
                connection.connect()
            return connection.sock is not None

        with closing(connection):
            eventually(is_open)
            yield connection

    def answer(self, body: bytes | None = None) -> bytes:
        """What the server answers to one request."""
        with self.connection() as connection:
            connection.request("GET" if body is None else "PUT", "/", body)
            return connection.getresponse().read()

    def gives(self, expected: bytes) -> bool:
        """Whether that is the answer now; a server that restarts may cut the connection."""
        try:
            return self.answer() == expected
        except (ConnectionError, http.client.HTTPException):
            return False

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(LIMIT)


def eventually(look: Callable[[], T | None]) -> T:
    """Call until the result is true, and return it."""
    deadline = time.monotonic() + LIMIT
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(POLL)
    return found


@contextmanager
def serving(directory: Path, *arguments: str) -> Iterator[Command]:
    """Run `asgi-bridge serve` in a directory, on a free port; kill what is left at the end."""
    command = [sys.executable, "-m", "asgi_bridge", "serve", "--bind", "127.0.0.1:0", *arguments]
    stderr = directory / "stderr.txt"
    with stderr.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stderr=file,
            start_new_session=True,  # its workers are in its group, and end with it
        )
    try:
        yield Command(process, stderr)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(LIMIT)
