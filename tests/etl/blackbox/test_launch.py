"""What start() and `asgi-bridge serve` set: contract 1.6, and 3.12 and 3.15 of its defects."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from websockets.sync.client import connect

from asgi_bridge.etl.testing import FakeTarget
from asgi_bridge.etl.testing.caller import read_answer
from tests.servers.processes import Server, running

from .actions import MIB
from .pods import PACKAGE, WAIT

LAUNCHES: Final = {
    "start": [f"{PACKAGE}.launched"],
    "start-in-a-thread": [f"{PACKAGE}.launched", "thread"],
    "serve": ["asgi_bridge", "serve", f"{PACKAGE}.buffered:app", "--bind=127.0.0.1:0"],
}
LARGE: Final = b"abcdefgh" * (3 * MIB)  # 24 MiB: beyond the usual 16
POOL: Final = 6.2  # seconds; AIStore keeps its connections for 6


@pytest.fixture(params=LAUNCHES)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    with FakeTarget() as target:
        environment = {**os.environ, "AIS_TARGET_URL": target.url, "ETL_EVENTS": os.devnull}
        command = LAUNCHES[request.param]
        with running(request.param, command, tmp_path, environment=environment) as it:
            yield it


def test_large_message(server: Server) -> None:
    url = f"ws://127.0.0.1:{server.port}/ws"
    with connect(url, max_size=None, compression=None, ping_interval=None) as session:
        session.send(b"{}")
        session.send(LARGE)
        answer = session.recv(timeout=WAIT)
    assert len(answer) == len(LARGE)
    assert answer == LARGE.upper(), "and not only as long"


@pytest.mark.skipif(os.environ.get("ETL_PODS") != "all", reason="takes its time: see `make etl`")
def test_idle_connection_outlives_aistores_pool(server: Server) -> None:
    request = b"PUT /b/o HTTP/1.1\r\nHost: pod\r\nContent-Length: 3\r\n\r\nabc"
    with socket.create_connection(("127.0.0.1", server.port), WAIT) as connection:
        for pause in (POOL, 0):
            connection.sendall(request)
            assert read_answer(connection).body == b"ABC"
            time.sleep(pause)
