"""The runner, with a suite of two tests; nothing is fetched."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from . import run
from .settings import SUITES, Suite

SUITE = Suite("small", "small==1", (), folder="inner", arguments=("-k", "not never"))
TESTS = """
import sys

def test_same() -> None:
    pass

def test_other() -> None:
    assert "wrapping" not in sys.modules

def test_never() -> None:
    assert False
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the runner has its files: an archive that is there, and an environment that is made."""
    source = tmp_path / "small-1"
    (source / SUITE.folder).mkdir(parents=True)
    (source / SUITE.folder / "test_small.py").write_text(TESTS)
    archive = tmp_path / SUITE.name / "archive"
    archive.mkdir(parents=True)
    (archive / ".source").write_text(SUITE.source)
    shutil.make_archive(str(archive / "small-1"), "gztar", tmp_path, source.name)
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
        "small: 2 tests, without the bridge 2 passed; behind it 1 differ",
        "test_small.py::test_other: passed without the bridge, failure behind it",
    ]


def test_difference_that_is_listed(listed: Path, capfd: pytest.CaptureFixture[str]) -> None:
    listed.write_text("test_small.py::test_other  because\n")
    assert run.main(["small"]) == 0
    assert "differ" in capfd.readouterr().out.splitlines()[-1]


def test_suite_that_does_not_exist(capfd: pytest.CaptureFixture[str]) -> None:
    assert run.main(["starlette", "x"]) == 2
    assert capfd.readouterr().out == f"no such suite: x; there are: {', '.join(SUITES)}\n"


def test_suite_that_cannot_be_had(
    listed: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def unreachable(suite: Suite) -> Path:
        raise subprocess.CalledProcessError(1, "pip")

    monkeypatch.setattr(run, "SUITES", {"far": Suite("far", "far==1", ()), SUITE.name: SUITE})
    fetched = run.fetched
    monkeypatch.setattr(run, "fetched", lambda s: fetched(s) if s is SUITE else unreachable(s))
    assert run.main([]) == 1
    told = capfd.readouterr().out
    assert "far: not run" in told
    assert "small: 2 tests" in told  # the others are run all the same


@pytest.mark.parametrize("kind", ["gztar", "zip"])
def test_archive_is_unpacked_anew(place: Path, kind: str) -> None:
    archive = shutil.make_archive(str(place / "again"), kind, place, "small-1")
    source = run.unpacked(SUITE, Path(archive))
    (source / "left").touch()
    assert run.unpacked(SUITE, Path(archive)) == source
    assert [each.name for each in source.iterdir()] == [SUITE.folder]


def test_suite_that_does_not_run(listed: Path, place: Path) -> None:
    source = run.unpacked(SUITE, run.fetched(SUITE))
    (source / SUITE.folder / "test_small.py").write_text("import nothing_of_this_name")
    with pytest.raises(RuntimeError, match="pytest ended with"):
        run.outcomes(SUITE, source, Path(sys.executable), behind=False)


def test_every_suite_has_a_list() -> None:
    assert all((run.HERE / f"{name}.txt").exists() for name in SUITES)
