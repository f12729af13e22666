"""The loops that a portal serves, and the ways to run a coroutine on them."""

from typing import Any, TypeAlias

import pytest

Backend: TypeAlias = tuple[str, dict[str, Any]]

# uvloop has its own call_soon_threadsafe and its own futures, so here it is a loop of its own.
BACKENDS: list[Backend] = [
    ("asyncio", {"use_uvloop": False}),
    ("asyncio", {"use_uvloop": True}),
    ("trio", {}),
]
NAMES = ["asyncio", "uvloop", "trio"]


@pytest.fixture(params=BACKENDS, ids=NAMES)
def anyio_backend(request: pytest.FixtureRequest) -> Backend:
    """Every test marked anyio runs on all three loops."""
    backend: Backend = request.param
    return backend
