"""Every fault at every stage on every server: what comes is the beginning of the right answer."""

import asyncio
import re
from collections.abc import Iterator

import pytest

from ..servers.processes import serving
from .matrix import CELLS
from .peer import End, wrong
from .runs import KEEP_ALIVE, Run, run_cells

SERVERS = ("uvicorn-httptools", "hypercorn-asyncio", "hypercorn-trio", "granian")


@pytest.fixture(scope="module", params=SERVERS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """All cells, on each server in turn."""
    name = request.param
    directory = tmp_path_factory.mktemp(name)
    with serving(name, "tests.faults.apps:app", directory, *KEEP_ALIVE[name]) as server:
        yield asyncio.run(asyncio.wait_for(run_cells(server), 50))


def test_what_comes_is_the_beginning_of_the_right_answer(run: Run) -> None:
    found = {name: wrong(each, CELLS[name].right) for name, each in run.deliveries.items()}
    assert {name: text for name, text in found.items() if text} == {}


def test_harmless_faults_do_no_harm(run: Run) -> None:
    harmless = {name: each for name, each in run.deliveries.items() if CELLS[name].harmless}
    harmed = [
        (name, each)
        for name, each in harmless.items()
        if (each.status, each.end) != (200, End.CLEAN)
    ]
    assert harmed == []
    assert len(harmless) > 50


def test_nobody_waits_for_ever(run: Run) -> None:
    waiting = [
        name
        for name, each in run.deliveries.items()
        if each.end is End.NEVER and not CELLS[name].silent
    ]
    assert waiting == []


def test_an_upload_that_stalls_is_a_408_or_a_cut(run: Run) -> None:
    stalled = {
        name: run.deliveries[name] for name in run.deliveries if re.search("UP-.*-stall", name)
    }
    for name in ("digest-UP-body-stall", "digest-UP-middle-stall"):
        assert (stalled[name].status, stalled[name].end) == (408, End.CLEAN), name
    for name in ("upper-UP-body-stall", "upper-UP-middle-stall", "sync-UP-middle-stall"):
        assert stalled[name].end is End.BROKEN, name


# Hypercorn answers a body that breaks off with a 400, beside what the application sends.
HYPERCORNS_OWN = "BusyResourceError"


def test_log(run: Run) -> None:
    """A client that leaves is no failure; a timeout after the first byte is one, logged once."""
    last_lines = re.findall(r"^(?:[\w.]+\.)?([A-Z]\w+): ?.*$", run.log, re.MULTILINE)
    failures = [name for name in last_lines if name not in ("ERROR", "INFO", "WARNING")]
    allowed = {"ReadTimeout", "WriteTimeout", HYPERCORNS_OWN}
    assert set(failures) <= allowed
    stalls = [name for name in CELLS if name.endswith("stall")]
    # logged once each, at most
    assert failures.count("WriteTimeout") <= sum("-DOWN-" in name for name in stalls)
    assert failures.count("ReadTimeout") <= sum("-UP-" in name for name in stalls)
    assert "never retrieved" not in run.log
    assert "was never awaited" not in run.log


def test_nothing_is_left(run: Run) -> None:
    before, after = run.before, run.after
    assert after.busy == 0
    assert after.pool == before.pool
    assert after.tasks <= before.tasks
    assert after.census.files <= before.census.files
    assert after.census.unlinked == 0
    # beside our pool's there are Starlette's own, which end when they have idled for 10 s
    assert after.census.threads <= before.census.threads + 40
