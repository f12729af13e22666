"""One process of each server for all applications, and one for those that are reported on."""

from collections.abc import Iterator
from typing import Final

import pytest

from tests.servers.processes import Server, serving

from .forms import Form
from .site import Site

SERVERS: Final = (
    "uvicorn-h11",
    "hypercorn-asyncio",
    "granian",
    pytest.param("uvicorn-httptools", marks=pytest.mark.matrix),
)


@pytest.fixture(scope="session", params=SERVERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Each server in turn."""
    with serving(request.param, "tests.no_harm.apps:app", tmp_path_factory.mktemp("log")) as it:
        yield it


@pytest.fixture(scope="session", params=SERVERS)
def observed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Each server in turn, with the applications that are reported on."""
    with serving(
        request.param, "tests.no_harm.telemetry:app", tmp_path_factory.mktemp("log")
    ) as it:
        yield it


@pytest.fixture(params=Form)
def site(request: pytest.FixtureRequest, server: Server) -> Site:
    """Each server in each form."""
    return Site(server, request.param)


@pytest.fixture(params=[Form.INSIDE, Form.AROUND])
def bridged(request: pytest.FixtureRequest, server: Server) -> Site:
    """Each server in the two forms that have a bridge."""
    return Site(server, request.param)


@pytest.fixture(params=Form)
def reported(request: pytest.FixtureRequest, observed: Server) -> Site:
    """The same for those that are reported on."""
    return Site(observed, request.param)


@pytest.fixture(params=[Form.INSIDE, Form.AROUND])
def reported_bridged(request: pytest.FixtureRequest, observed: Server) -> Site:
    """Those with a bridge among them."""
    return Site(observed, request.param)
