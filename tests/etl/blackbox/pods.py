"""ETL pods as real processes, and what the tests of this directory ask of them.

By the environment, the same tests run against another server: ETL_PYTHON is the interpreter that
has it, ETL_BASE its class, see `transforms.py`.
"""

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from asgi_bridge.etl.testing import Caller, FakeTarget
from tests.servers.processes import running

PACKAGE: Final = "tests.etl.blackbox"
TOKEN: Final = "t0ken"
PYTHON: Final = os.environ.get("ETL_PYTHON", sys.executable)
COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "uvicorn": (
        "uvicorn",
        "--port=0",
        "--no-access-log",
        "--timeout-keep-alive=75",
        "--ws-max-size=17179869184",
    ),
    "hypercorn": (
        "hypercorn",
        "--workers=0",
        "--bind=127.0.0.1:0",
        "--keep-alive=75",
    ),
}
# Whatever the tests themselves run in, the pods see only what they are given of these.
SCRUBBED: Final = (
    "ALL_PROXY",
    "AIS_AUTHN_TOKEN",
    "AIS_CLIENT_CA",
    "AIS_CRT",
    "AIS_CRT_KEY",
    "AIS_DIRECT_PUT_CHUNK_SIZE",
    "AIS_DIRECT_PUT_RETRIES",
    "AIS_ETL_FQN_ROOTS",
    "AIS_SKIP_VERIFY",
    "AIS_SKIP_VERIFY_CRT",
    "AIS_TARGET_URL",
    "AIS_ETL_TRUSTED_HOSTS",
    "CURL_CA_BUNDLE",
    "DIRECT_PUT",
    "ETL_DIRECT_FQN",
    "ETL_MIME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "direct_put",
    "http_proxy",
    "https_proxy",
)
WAIT: Final = 10.0  # seconds
POLL: Final = 0.02


@dataclass(frozen=True, slots=True)
class Pod:
    """A running ETL server.

    Attributes:
        server: what runs it.
        mode: buffered or streaming.
        port: on 127.0.0.1.
        ais: calls it as AIStore does.
        target: the only target that it knows.
        events: the file to which its transforms write.
        log: the file with all that it printed.
    """

    server: str
    mode: str
    port: int
    ais: Caller
    target: FakeTarget
    events: Path
    log: Path

    @property
    def streaming(self) -> bool:
        """Whether it has a transform_stream."""
        return self.mode == "streaming"

    @property
    def url(self) -> str:
        """Its node URL."""
        return f"http://127.0.0.1:{self.port}"

    def happened(self) -> list[str]:
        """What its transforms have noted, since the test began."""
        return self.events.read_text().splitlines()

    def until(self, holds: Callable[[list[str]], bool], timeout: float = WAIT) -> None:
        """Wait until something holds of what its transforms have noted."""
        deadline = time.monotonic() + timeout
        while not holds(self.happened()):
            assert time.monotonic() < deadline, f"noted: {self.happened()}"
            time.sleep(POLL)


@contextmanager
def connected(pod: Pod) -> Iterator[socket.socket]:
    """A connection to a pod, for bytes of the test's own."""
    with socket.create_connection(("127.0.0.1", pod.port), timeout=WAIT) as connection:
        yield connection


@contextmanager
def pod_running(
    directory: Path,
    target: FakeTarget,
    *,
    server: str = "uvicorn",
    mode: str = "buffered",
    environment: Mapping[str, str] | None = None,
) -> Iterator[Pod]:
    """Run a pod as a process until the block ends.

    Args:
        directory: for its log and its events.
        target: what AIS_TARGET_URL leads to.
        server: a key of COMMANDS.
        mode: buffered or streaming.
        environment: on top of ours.
    """
    events = directory / "events.txt"
    events.touch()
    kept = {name: value for name, value in os.environ.items() if name not in SCRUBBED}
    given = {
        **kept,
        "AIS_TARGET_URL": target.url,
        "AIS_AUTHN_TOKEN": TOKEN,
        "AIS_DIRECT_PUT_RETRIES": "1",
        "ETL_EVENTS": str(events),
        **(environment or {}),
    }
    command = [*COMMANDS[server], f"{PACKAGE}.{mode}:app"]
    with running(mode, command, directory, python=PYTHON, environment=given) as process:
        ais = Caller(f"http://127.0.0.1:{process.port}", timeout=WAIT)
        yield Pod(server, mode, process.port, ais, target, events, process.log)
