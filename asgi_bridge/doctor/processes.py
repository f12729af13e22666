"""Server processes: started on a free port, ended with all that they have started."""

import asyncio
import os
import re
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

from .certificate import Certificate
from .row import Row, command_of

# Seconds that a server may take to listen, and to end. Out of the air; all take less than one.
STARTING = 60.0
ENDING = 3.0
POLL = 0.02

APPS = "asgi_bridge.doctor.apps"

ADDRESS = re.compile(r"127\.0\.0\.1:([1-9]\d*)")
QUIC_ADDRESS = re.compile(r"127\.0\.0\.1:([1-9]\d*) \(QUIC\)")


class NotStarted(Exception):
    """A server ended, or did not listen in time; the text is the end of what it has printed."""


class Processes:
    """The servers that run. `kill` is the last resort that leaves none behind.

    Attributes:
        certificate: what servers and clients use for TLS, None where nobody needs it.
    """

    def __init__(
        self, directory: Path, certificate: Certificate | None, module: str = APPS
    ) -> None:
        self._directory = directory
        self._module = module  # that of the applications
        self.certificate = certificate
        self._groups: set[int] = set()  # process groups, each with a server and its workers
        self._count = 0

    def kill(self) -> None:
        """Kill whatever is left. Does not wait."""
        for group in self._groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)

    @asynccontextmanager
    async def serving(self, row: Row, app: str) -> AsyncIterator[int]:
        """Serve an application; give the port.

        Raises:
            NotStarted: the server does not serve.
        """
        self._count += 1
        log = self._directory / f"{self._count}-{row.name}.log"
        with closing(reserved_socket()) as reserved, log.open("wb") as file:
            process = await asyncio.create_subprocess_exec(
                *command_of(row, self._values(app, reserved.getsockname()[1])),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
            self._groups.add(process.pid)
            try:
                yield await port_of(row, process, log)
            finally:
                await self._end(process)

    def _values(self, app: str, port: int) -> dict[str, object]:
        certificate = self.certificate
        files = {"chain": certificate.chain, "key": certificate.key} if certificate else {}
        return {"app": f"{self._module}:{app}", "port": port, **files}

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(ENDING):
                await process.wait()
        except TimeoutError:
            pass
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            self._groups.discard(process.pid)
        await process.wait()


def reserved_socket() -> socket.socket:
    """A socket that keeps a port from all but Granian, which prints no port that it was not given.

    Granian shares the port, with SO_REUSEPORT. The others take any free one and print it.
    """
    reserved = socket.socket()
    reserved.bind(("127.0.0.1", 0))
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return reserved


async def port_of(row: Row, process: asyncio.subprocess.Process, log: Path) -> int:
    """Wait until a server listens; return its port."""
    address = QUIC_ADDRESS if row.protocol == "h3" else ADDRESS
    with suppress(TimeoutError):
        async with asyncio.timeout(STARTING):
            while process.returncode is None:
                if found := address.search(printed(log)):
                    port = int(found[1])
                    if row.protocol == "h3" or listens(port):
                        return port
                await asyncio.sleep(POLL)
    raise NotStarted(printed(log).strip()[-300:] or "it printed nothing")


def printed(log: Path) -> str:
    return log.read_text(errors="replace")


def listens(port: int) -> bool:
    """Whether a connection can be made; on loopback that is known at once."""
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0
