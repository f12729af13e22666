"""One process of each server for all applications, and one for those that are reported on."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from typing import Final

import pytest

from tests.servers.processes import Server, serving

from .forms import Form
from .site import PATIENCE, Site, until

SERVERS: Final = (
    "uvicorn-h11",
    "hypercorn-asyncio",
    "granian",
    pytest.param("uvicorn-httptools", marks=pytest.mark.matrix),
)
# What is true without us changes with the servers and frameworks only.
FORMS: Final = (
    pytest.param(Form.WITHOUT, marks=pytest.mark.matrix),
    Form.INSIDE,
    Form.AROUND,
)
BRIDGED: Final = (Form.INSIDE, Form.AROUND)

Started = Callable[[str, str], Server]


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """Runs an application of ours on one of the servers, once for all files that want it."""
    servers: list[Server] = []
    with ExitStack() as running:

        @cache
        def start(name: str, app: str) -> Server:
            directory = tmp_path_factory.mktemp("log")
            context = serving(name, f"tests.no_harm.{app}:app", directory)
            servers.append(running.enter_context(context))
            return servers[-1]

        yield start
        for each in servers:
            os.kill(each.pid, signal.SIGTERM)
        stuck = until(lambda: list(filter(is_running, servers)), lambda left: not left, PATIENCE)
        for each in stuck:
            os.killpg(each.pid, signal.SIGKILL)
        assert stuck == [], "what their applications run has no end"


def is_running(server: Server) -> bool:
    """Whether its process has not ended; who started it will ask for its code."""
    how = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, server.pid, how) is None


@pytest.fixture(scope="session", params=SERVERS)
def server(request: pytest.FixtureRequest, started: Started) -> Server:
    """Each server in turn."""
    return started(request.param, "apps")


@pytest.fixture(scope="session", params=SERVERS)
def observed(request: pytest.FixtureRequest, started: Started) -> Server:
    """Each server in turn, with the applications that are reported on."""
    return started(request.param, "telemetry")


@pytest.fixture(params=FORMS)
def site(request: pytest.FixtureRequest, server: Server) -> Site:
    """Each server in each form."""
    return Site(server, request.param)


@pytest.fixture(params=BRIDGED)
def bridged(request: pytest.FixtureRequest, server: Server) -> Site:
    """Each server in the two forms that have a bridge."""
    return Site(server, request.param)


@pytest.fixture(params=FORMS)
def reported(request: pytest.FixtureRequest, observed: Server) -> Site:
    """Each server in each form, for those that are reported on."""
    return Site(observed, request.param)


@pytest.fixture(params=BRIDGED)
def reported_bridged(request: pytest.FixtureRequest, observed: Server) -> Site:
    """Those with a bridge among them."""
    return Site(observed, request.param)
