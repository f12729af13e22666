"""What docs/etl-testing.md shows works, and the pod's files say what the server does."""

import re
from collections.abc import Mapping
from typing import Any, Final

import pytest

from asgi_bridge.etl import testing
from tests.prose import ROOT, names_by_heading, table_below

PAGE: Final = ROOT / "docs" / "etl-testing.md"
EXAMPLES: Final = ROOT / "examples" / "etl"
HEADING: Final = "Tests for ETL transforms"


@pytest.fixture(scope="module")
def names() -> Mapping[str, Any]:
    return names_by_heading(PAGE)[HEADING]


@pytest.mark.parametrize("name", ["check_upper", "check_full_target"])
def test_example_passes(
    names: Mapping[str, Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names[name](monkeypatch)


def test_no_example_is_left_out(names: Mapping[str, Any]) -> None:
    assert [each for each in names if each.startswith("check_")] == [
        "check_upper",
        "check_full_target",
    ]


def test_every_fault_is_in_the_table() -> None:
    named = {row[0].partition("(")[0] for row in table_below(PAGE, "Faults to order")}
    faults = {each.__name__ for each in testing.Fault.__args__}
    assert named == faults


def test_pod_and_image_start_the_same_command() -> None:
    command = '"asgi-bridge", "serve", "transform.py:app", "--bind", "0.0.0.0:8000"'
    for name in ("Dockerfile", "pod.yaml"):
        assert command in (EXAMPLES / name).read_text()


def test_pod_is_what_aistore_looks_for() -> None:
    pod = (EXAMPLES / "pod.yaml").read_text()
    assert re.search(r"name: default .*\n\s+containerPort: 8000", pod)
    assert re.search(r"path: /health\n\s+port: default", pod)
