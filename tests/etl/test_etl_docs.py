"""What docs/etl-testing.md shows works, and the pod's files say what the server does."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final

import pytest

from asgi_bridge.etl import ETLServer, testing
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


def test_spec_and_image_start_the_same_command() -> None:
    command = '"asgi-bridge", "serve", "transform.py:app", "--bind", "0.0.0.0:8000"'
    for name in ("Dockerfile", "etl_spec.yaml"):
        assert command in (EXAMPLES / name).read_text()


def test_spec_is_what_aistore_reads() -> None:
    spec = (EXAMPLES / "etl_spec.yaml").read_text()
    fields = re.findall(r"^(\w+):", spec, re.MULTILINE)
    assert {"name", "runtime", "communication", "support_direct_put"} <= set(fields)
    assert re.search(r"name: AIS_ETL_FQN_ROOTS\n\s+value: \"/", spec)


def test_every_example_decides_on_its_concurrency() -> None:
    """And says why, right above."""
    for path in EXAMPLES.glob("*.py"):
        if path.name != "__init__.py":
            assert re.search(r"^    # .+\.\n    concurrency = ", path.read_text(), re.MULTILINE), (
                path
            )


class Stock(ABC):
    """As AIStore's own class is for `init_class`."""

    @abstractmethod
    def start(self) -> None: ...

    def transform(self, data: Any, path: str, etl_args: str) -> Any:
        raise AssertionError("ours comes first")

    def transform_stream(self, reader: Any, path: str, etl_args: str) -> Any:
        raise AssertionError("ours comes first")


def test_a_class_of_both(monkeypatch: pytest.MonkeyPatch) -> None:
    class Upper(ETLServer, Stock):
        def transform(self, data: Any, path: str, etl_args: str) -> Any:
            return data.upper()

    with testing.FakeTarget() as target:
        monkeypatch.setenv("AIS_TARGET_URL", target.url)
        server = Upper()
        assert isinstance(server, Stock)
        with testing.serving(server.app) as etl:
            assert etl.push("b/o", b"abc").body == b"ABC"
