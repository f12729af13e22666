"""Real servers that are told to end while exchanges run."""

import asyncio
import os
import re
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.servers.client import Answer, Client, Truncated, connected
from tests.servers.processes import COMMANDS, LIMIT, POLL, Server, running

from .apps import RECORD, TIMEOUT

pytestmark = pytest.mark.asyncio

SECONDS: Final = 2  # of the graceful time, ours or the command's
APP: Final = "tests.shutdown.apps:app"
SERVE: Final = ("asgi_bridge", "serve", "--bind=127.0.0.1:0", f"--graceful-timeout={SECONDS}")
OWN: Final[Mapping[str, Sequence[str]]] = {
    "uvicorn-h11": COMMANDS["uvicorn-h11"],
    "uvicorn-httptools": COMMANDS["uvicorn-httptools"],
    "hypercorn-asyncio": (*COMMANDS["hypercorn-asyncio"], "--graceful-timeout=20"),
    "granian": COMMANDS["granian"],
    "gunicorn": ("gunicorn", "-k", "uvicorn_worker.UvicornWorker", "--bind=127.0.0.1:0"),
}
SERVED: Final[Mapping[str, Sequence[str]]] = {
    "serve-uvicorn": (*SERVE, "--server=uvicorn"),
    "serve-hypercorn": SERVE,
    "serve-hypercorn-workers": (*SERVE, "--workers=2"),
    "serve-hypercorn-trio": (*SERVE, "--worker-class=trio"),
    "serve-granian": (*SERVE, "--server=granian"),
}
ROWS: Final = {**OWN, **SERVED}


@dataclass(frozen=True, slots=True)
class Ended:
    """A server that is to be told to end.

    Attributes:
        server: itself.
        record: what the applications note.
    """

    server: Server
    record: Path

    def tell(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Tell it."""
        os.kill(self.server.pid, number)

    async def noted(self, line: str) -> None:
        """Wait until an application has noted this."""
        deadline = time.monotonic() + LIMIT
        while line not in self.lines:
            assert time.monotonic() < deadline, f"{line!r} is not in {self.lines}"
            await asyncio.sleep(POLL)

    @property
    def lines(self) -> list[str]:
        """All that was noted."""
        return self.record.read_text().splitlines()

    async def exited(self) -> None:
        """Wait until its process has ended; who started it will ask for its code."""
        deadline = time.monotonic() + LIMIT
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        while os.waitid(os.P_PID, self.server.pid, how) is None:  # noqa: ASYNC222  # WNOHANG
            assert time.monotonic() < deadline, f"it hangs: {self.server.log.read_text()}"
            await asyncio.sleep(POLL)


@contextmanager
def ending(name: str, directory: Path, *, app: str = APP) -> Iterator[Ended]:
    """Run one of the rows."""
    record = directory / "record.txt"
    record.touch()
    environment = {**os.environ, RECORD: str(record), TIMEOUT: str(SECONDS)}
    command = [each.format(free_port=free_port()) for each in (*ROWS[name], app)]
    with running(name, command, directory, environment=environment) as server:
        yield Ended(server, record)


def free_port() -> int:
    """A port that nobody has; for granian, which has to be given one."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


async def begin(clients: AsyncExitStack, ended: Ended, path: str) -> Client:
    """Send half of a request, and wait until it is with its application."""
    client = await clients.enter_async_context(connected(ended.server))
    await client.request(f"/{path}", content_length="6")
    await client.send(b"abc")
    await ended.noted(f"{path} begins")
    return client


@asynccontextmanager
async def connected_idly(ended: Ended) -> AsyncIterator[asyncio.StreamReader]:
    """A connection that asks for nothing, which servers close once they have been told."""
    reader, writer = await asyncio.open_connection("127.0.0.1", ended.server.port)
    try:
        yield reader
    finally:
        writer.transport.abort()


async def is_cut(client: Client) -> None:
    """The response has no end."""
    with pytest.raises((Truncated, ConnectionError)):
        await client.rest()


@pytest.mark.parametrize("name", ROWS)
async def test_exchanges_in_a_shutdown(name: str, tmp_path: Path) -> None:
    with ending(name, tmp_path) as ended:
        async with AsyncExitStack() as clients:
            idle = await clients.enter_async_context(connected_idly(ended))
            upper = await begin(clients, ended, "upper")
            assert (await upper.head(), await upper.read(3)) == (200, b"ABC")
            streaming = await begin(clients, ended, "streaming")
            assert (await streaming.head(), await streaming.read(3)) == (200, b"ABC")
            refused = {
                path: await begin(clients, ended, path)
                for path in ("reading", "on-thread", "receiving")
            }
            writing = await begin(clients, ended, "writing")
            assert await writing.head() == 200

            ended.tell()
            with suppress(ConnectionError):
                assert await idle.read() == b""  # so it has heard
            await upper.send(b"def")
            await upper.end()
            assert await upper.rest() == b"DEF"

            for path, client in refused.items():
                assert await client.answer() == Answer(503, b"Service Unavailable"), path
            await is_cut(streaming)
            await ended.noted("writing met ServerShutdown")
            await is_cut(writing)
            await ended.exited()
    met = [f"{each} met ServerShutdown" for each in (*refused, "streaming", "writing")]
    assert sorted(line for line in ended.lines if " met " in line) == sorted(
        [*met, "upper met nothing"]
    )
    log = ended.server.log.read_text()
    assert len(re.findall(r"PUT /[a-z-]+: the server is shutting down", log)) == len(met)
    # the server's own lines for those that were cut
    assert log.count("Traceback") <= (0 if name in SERVED else 2), log


async def test_handlers_without_a_middleware(tmp_path: Path) -> None:
    """The lifespan is that of one of them, and so is the listening."""
    with ending("uvicorn-httptools", tmp_path, app="tests.shutdown.apps:unwrapped") as ended:
        async with AsyncExitStack() as clients:
            reading = await begin(clients, ended, "reading")
            ended.tell(signal.SIGINT)
            assert await reading.answer() == Answer(503, b"Service Unavailable")
            await ended.exited()
    assert ended.lines == ["reading begins", "reading met ServerShutdown"]


@pytest.mark.parametrize("name", ROWS)
async def test_worker_that_is_stuck(name: str, tmp_path: Path) -> None:
    with ending(name, tmp_path) as ended:
        async with AsyncExitStack() as clients:
            busy = await begin(clients, ended, "busy")
            ended.tell()
            assert (await busy.answer()).status == 503
            await ended.exited()


@pytest.mark.parametrize("name", ["serve-hypercorn-trio", "serve-granian"])
async def test_command_ends_by_force(name: str, tmp_path: Path) -> None:
    """What no server waits for in vain: a client that reads nothing, a framework's own thread."""
    with ending(name, tmp_path) as ended:
        async with AsyncExitStack() as clients:
            await begin(clients, ended, "writing")
            await begin(clients, ended, "on-busy-thread")
            ended.tell()
            await ended.exited()
    assert "writing met ServerShutdown" in ended.lines
    assert re.search("ended by force|Killing worker", ended.server.log.read_text())


@pytest.mark.parametrize("name", ["uvicorn-httptools", "serve-uvicorn"])
async def test_second_interrupt_is_the_servers(name: str, tmp_path: Path) -> None:
    """uvicorn then waits for nobody."""
    with ending(name, tmp_path) as ended:
        async with AsyncExitStack() as clients:
            idle = await clients.enter_async_context(connected_idly(ended))
            await begin(clients, ended, "reading")
            ended.tell(signal.SIGINT)
            with suppress(ConnectionError):
                assert await idle.read() == b""
            ended.tell(signal.SIGINT)
            await ended.exited()
    assert ended.lines == ["reading begins", "reading met ServerShutdown"]
    assert "did not wait longer" not in ended.server.log.read_text()


async def test_worker_of_hypercorn_hears_nothing(tmp_path: Path) -> None:
    """It is told by its parent process, and cancels: nobody can know that it shuts down."""
    command = ("hypercorn", "--bind=127.0.0.1:0", "--graceful-timeout=1", APP)
    record = tmp_path / "record.txt"
    record.touch()
    environment = {**os.environ, RECORD: str(record), TIMEOUT: str(SECONDS)}
    with running("hypercorn", command, tmp_path, environment=environment) as server:
        ended = Ended(server, record)
        async with AsyncExitStack() as clients:
            reading = await begin(clients, ended, "reading")
            ended.tell()
            assert (await reading.answer()).status == 500
            await ended.exited()
    assert ended.lines == ["reading begins", "reading met ExchangeOver"]
