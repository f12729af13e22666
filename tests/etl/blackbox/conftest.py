"""One process of a server in each mode for all tests of this directory; one target for all.

The ordinary run takes each server and each mode once. ETL_PODS=all takes every pair of them, as
`make etl` does.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from asgi_bridge.etl.testing import FakeStage, FakeTarget

from .pods import Pod, pod_running

PAIRS = [("uvicorn", "buffered"), ("hypercorn", "streaming")]
OTHERS = [("uvicorn", "streaming"), ("hypercorn", "buffered")]
PODS = PAIRS + (OTHERS if os.environ.get("ETL_PODS") == "all" else [])


@pytest.fixture(scope="session")
def the_target() -> Iterator[FakeTarget]:
    with FakeTarget() as target:
        yield target


@pytest.fixture(scope="session", params=PODS, ids="-".join)
def the_pod(
    request: pytest.FixtureRequest,
    the_target: FakeTarget,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pod]:
    server, mode = request.param
    directory = tmp_path_factory.mktemp(f"{server}-{mode}")
    with pod_running(directory, the_target, server=server, mode=mode) as pod:
        yield pod
    assert "never retrieved" not in pod.log.read_text()


@pytest.fixture
def target(the_target: FakeTarget) -> FakeTarget:
    """The target, with nothing on it."""
    the_target.reset()
    return the_target


@pytest.fixture
def pod(the_pod: Pod, target: FakeTarget) -> Pod:
    """Each server in each mode, with no events noted."""
    the_pod.events.write_text("")
    return the_pod


@pytest.fixture
def streaming(pod: Pod) -> Pod:
    """The streaming pods only."""
    assert pod.streaming, "the others were deselected"
    return pod


@pytest.fixture
def buffered(pod: Pod) -> Pod:
    """The buffered pods only."""
    assert not pod.streaming, "the others were deselected"
    return pod


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Drop what is asked of one mode only, where the pod is of the other."""
    items[:] = [each for each in items if not asks_the_wrong_mode(each)]


def asks_the_wrong_mode(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    names = set(getattr(item, "fixturenames", ()))
    if callspec is None or "the_pod" not in callspec.params:
        return False
    _, mode = callspec.params["the_pod"]
    return bool(names & ({"buffered", "streaming"} - {mode}))


@pytest.fixture
def stage(target: FakeTarget) -> Iterator[FakeStage]:
    """The next stage: reverses each object, and sends on what names more stages."""
    with FakeStage(lambda content: content[::-1], target=target) as it:
        yield it


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file of a mount point."""
    path = tmp_path / "object"
    path.write_bytes(b"from a file")
    return path
