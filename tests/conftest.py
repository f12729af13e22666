"""What all tests share."""

import signal

import pytest

# Shells ignore Ctrl-C for what they start in the background, and what ignores a signal hands that
# on to its children, which the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Every test marked anyio runs on both event loops."""
    backend: str = request.param
    return backend


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest file comes first, so that nobody waits for it alone in the end."""
    items.sort(key=lambda item: item.path.parent.name != "soak")
