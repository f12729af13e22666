"""The pools that exchanges run on."""

import logging
from collections.abc import Iterator

import pytest

from asgi_bridge import WorkerPool

from .helpers import PromptPool


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    """A pool whose threads have all ended when the test has."""
    pool = WorkerPool(size=4, name="test")
    yield pool
    pool.close()
    assert pool.statistics().busy == 0


@pytest.fixture
def prompt_pool() -> Iterator[PromptPool]:
    """A pool that has done its job before anybody looks."""
    pool = PromptPool(size=4, name="prompt")
    yield pool
    pool.close()
    assert pool.statistics().busy == 0


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The log from INFO up; see `helpers.lines`."""
    caplog.set_level(logging.INFO, logger="asgi_bridge")
    return caplog
