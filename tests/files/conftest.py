"""How uploads are cut here, and where they run."""

import pytest

from .uploads import CUTS, Cut


@pytest.fixture(params=CUTS, ids=str)
def cut(request: pytest.FixtureRequest) -> Cut:
    """The test's upload comes in chunks of one size; each test runs once for each."""
    cut: Cut = request.param
    return cut


@pytest.fixture
def anyio_backend() -> str:
    """On asyncio alone: a consumer meets the reader or the response, and never the loop."""
    return "asyncio"
