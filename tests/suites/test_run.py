"""The runner, with a suite of two tests; nothing is fetched."""

import sys
import tarfile
from pathlib import Path

import pytest

from . import run
from .settings import SUITES, Suite

SUITE = Suite("small", "1", (), "tests")
TESTS = """
import os, sys

def test_same() -> None:
    pass

def test_other() -> None:
    assert "wrapping" not in sys.modules
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the runner has its files: an archive that is there, and an environment that is made."""
    source = tmp_path / "made" / SUITE.folder
    source.mkdir(parents=True)
    (source / "test_small.py").write_text(TESTS)
    (source / "pytest.ini").write_text("[pytest]\n")
    with tarfile.open(tmp_path / f"{SUITE.folder}.tar.gz", "w:gz") as tar:
        tar.add(source, SUITE.folder)
    monkeypatch.setattr(run, "PLACE", tmp_path)
    monkeypatch.setattr(run, "WORKERS", "0")
    monkeypatch.setattr(run, "SUITES", {SUITE.name: SUITE})
    monkeypatch.setattr(run, "installed", lambda suite, source: Path(sys.executable))
    return tmp_path


@pytest.fixture
def listed(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The list of what may differ; nothing yet."""
    monkeypatch.setattr(run, "HERE", place)
    (place / "plugin").mkdir()
    (place / "plugin" / "wrapping.py").touch()
    file = place / "small.txt"
    file.write_text("# nothing\n")
    return file


def test_difference_that_is_not_listed(listed: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run.main([]) == 1
    told = capfd.readouterr().out.splitlines()
    assert told[-2:] == [
        "small 1: 2 tests, without the bridge 2 passed; behind it 1 differ",
        "test_small.py::test_other: passed without the bridge, failure behind it",
    ]


def test_difference_that_is_listed(listed: Path, capfd: pytest.CaptureFixture[str]) -> None:
    listed.write_text("test_small.py::test_other  because\n")
    assert run.main(["small"]) == 0
    assert "differ" in capfd.readouterr().out.splitlines()[-1]


def test_suite_that_does_not_exist(capfd: pytest.CaptureFixture[str]) -> None:
    assert run.main(["starlette", "x"]) == 2
    assert capfd.readouterr().out == "no such suite: x; there are: starlette, fastapi\n"


def test_suite_that_does_not_run(listed: Path, place: Path) -> None:
    source = run.unpacked(SUITE, place / f"{SUITE.folder}.tar.gz")
    (source / "test_small.py").write_text("import nothing_of_this_name")
    with pytest.raises(RuntimeError, match="pytest ended with"):
        run.outcomes(SUITE, source, Path(sys.executable), behind=False)


def test_every_suite_has_a_list() -> None:
    assert all((run.HERE / f"{name}.txt").exists() for name in SUITES)
