"""One process of each server for all tests of this directory."""

from collections.abc import Iterator

import pytest

from .processes import COMMANDS, Server, serving

APP = "tests.servers.apps:app"


@pytest.fixture(scope="session", params=COMMANDS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Each server in turn, running the applications of `apps`."""
    with serving(request.param, APP, tmp_path_factory.mktemp(request.param)) as it:
        yield it
    assert "never retrieved" not in it.log.read_text()


@pytest.fixture(scope="session", params=["uvicorn-h11", "uvicorn-httptools"])
def uvicorn(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """uvicorn only, for what is only true of it."""
    with serving(request.param, APP, tmp_path_factory.mktemp(request.param)) as it:
        yield it
