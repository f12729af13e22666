"""A server that is told to end while event streams run: no traceback for each client."""

import os
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.servers.processes import serving

from .forms import Form
from .site import Log, Site, until

CLIENTS: Final = 5
SECONDS: Final = 2.0  # sse-starlette looks twice a second
SERVERS: Final = (
    "uvicorn-h11",
    pytest.param("uvicorn-httptools", marks=pytest.mark.matrix),
    pytest.param("hypercorn-asyncio", marks=pytest.mark.matrix),
    pytest.param("granian", marks=pytest.mark.matrix),
)
FORMS: Final = (
    pytest.param(Form.WITHOUT, marks=pytest.mark.matrix),
    pytest.param(Form.INSIDE, marks=pytest.mark.matrix),
    Form.AROUND,
)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SERVERS)
def test_event_streams_end_quietly(name: str, form: Form, tmp_path: Path) -> None:
    """sse-starlette returns early when its server is told to end; each client is a line at most."""
    with serving(name, f"tests.no_harm.ending:{form}", tmp_path) as server, ExitStack() as visits:
        site = Site(server, form)
        for _ in range(CLIENTS):
            visits.enter_context(site.visit("")).until(b"hello")
        log = Log(server, 0)
        os.kill(server.pid, signal.SIGTERM)
        # uvicorn tells sse-starlette; the others wait for their clients
        until(lambda: log.text, lambda text: "Finished server process" in text, SECONDS)
    assert log.text.count("Traceback") == 0, log.text
