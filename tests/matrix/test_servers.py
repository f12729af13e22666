"""Every check on every server: a few rows in each run of the tests, all in `make matrix`."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from asgi_bridge.doctor.certificate import make_certificate
from asgi_bridge.doctor.checks import CHECKS
from asgi_bridge.doctor.outcomes import Finding, Outcome
from asgi_bridge.doctor.probe import BARE, BRIDGED, SIDE_BY_SIDE, Measured, measure
from asgi_bridge.doctor.processes import NotStarted, Processes
from asgi_bridge.doctor.report import as_json
from asgi_bridge.doctor.row import Row
from asgi_bridge.doctor.rows import ROWS

from .pending import may_fail
from .results import SERVERS, record

# One of each client, loop and server that differs most from the others.
FAST: Final = ("uvicorn-h11", "hypercorn-h2-trio", "granian-h1")
# Enough to tell whether a protocol works at all.
FEW: Final = frozenset(("body-lock-step-length", "body-fast-chunked", "tail", "head"))


def measured(
    row: Row,
    directory: Path,
    names: frozenset[str] | None = None,
    columns: Sequence[str] = (BRIDGED,),
) -> Measured:
    """Measure a row; nothing is left running."""
    processes = Processes(directory, make_certificate(directory))
    try:
        return asyncio.run(measure(row, processes, ignore, names, tuple(columns)))
    finally:
        processes.kill()


def ignore(app: str, check: str, finding: Finding) -> None:
    pass


def failures(of: Measured) -> dict[str, Finding]:
    return {name: of.bridged[name] for name in of.failures if not may_fail(of.row, name)}


@pytest.mark.parametrize("name", FAST)
def test_bridge_holds(name: str, tmp_path: Path) -> None:
    assert failures(measured(ROWS[name], tmp_path)) == {}


@pytest.mark.parametrize("name", ["hypercorn-h3", "hypercorn-h2-tls", "uvicorn-h11-tls"])
def test_bridge_holds_where_all_is_encrypted(name: str, tmp_path: Path) -> None:
    assert failures(measured(ROWS[name], tmp_path, FEW)) == {}


def test_other_streams_survive_a_failure(tmp_path: Path) -> None:
    asked = frozenset(("raises-midway", "raises-midway-length"))
    assert failures(measured(ROWS["granian-h2"], tmp_path, asked)) == {}


def test_a_loss_is_found(tmp_path: Path) -> None:
    """The checks can fail: what the bridge cures is broken without it.

    Whoever listens for the disconnect loses its body only most times, so not every check will do.
    """
    asked = frozenset(("tail", "raises-before-body", "others-run", "spec-version"))
    without = measured(ROWS["uvicorn-httptools-uvloop"], tmp_path, asked, (BARE,)).bare
    assert {name: finding.outcome for name, finding in without.items()} == {
        "tail": Outcome.LOST,
        "raises-before-body": Outcome.BROKEN,
        "others-run": Outcome.MISSED,
        "spec-version": Outcome.MISSED,
    }


def test_a_server_that_is_brought_down_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = frozenset(("early-answer-unread", "no-content"))
    monkeypatch.setitem(SIDE_BY_SIDE, BARE, 1)
    without = measured(ROWS["hypercorn-h2-trio"], tmp_path, asked, (BARE,)).bare
    assert without["early-answer-unread"].outcome is Outcome.GONE
    assert without["no-content"].outcome is Outcome.OK


def test_a_server_that_does_not_start_is_told_of(tmp_path: Path) -> None:
    row = Row(name="none", server="none", command=("asgi_bridge", "serve", "no_such_module:app"))
    with pytest.raises(NotStarted, match="no_such_module"):
        measured(row, tmp_path)


@pytest.mark.matrix
@pytest.mark.parametrize("name", ROWS)
def test_both_columns(name: str, tmp_path: Path) -> None:
    row = ROWS[name]
    if row.missing:
        pytest.skip(f"needs {', '.join(row.missing)}")
    it = measured(row, tmp_path, columns=(BARE, BRIDGED))
    record(SERVERS, name, as_json([it]))
    assert failures(it) == {}


def test_limits_name_checks() -> None:
    assert {check for row in ROWS.values() for check in row.limits} <= CHECKS.keys()
