"""The short form of `make soak`."""

import asyncio
import faulthandler
import os
import sys
from collections.abc import Iterator

import pytest

from ..servers.processes import Server
from .__main__ import report
from .soak import SERVERS, all_serving, soak
from .traffic import KINDS

SECONDS = 60.0
LONGEST = 240.0  # seconds, for all of it, with its looks; other tests have a minute
MIB = 1024 * 1024
# Of anonymous memory, over a server that has its threads: buffers, heaps that were not given back.
GROWTH = 64 * MIB
# Blocks that a call may leave: caches fill. An exchange that is kept is more than fifty.
LEAK = 5.0
# Blocks that may come and go however many calls there are: trio keeps a thousand deadlines that
# were given up, of six blocks each, and then forgets them all at once (its Deadlines._prune).
RESERVE = 7000


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Server]]:
    """All four, with timeouts that a busy machine keeps."""
    monkeypatch.setitem(os.environ, "FAULTS_TIMEOUT", "5")
    with all_serving(SERVERS) as them:
        yield them


def test_soak(servers: list[Server], capsys: pytest.CaptureFixture[str]) -> None:
    assert sys.__stderr__ is not None, "a test has one"
    faulthandler.dump_traceback_later(LONGEST, exit=True, file=sys.__stderr__)
    tallies = asyncio.run(soak(servers, SECONDS, seed=1))
    report(tallies, SECONDS)
    table = capsys.readouterr().out
    assert [(each.wrong, each.failed, each.left) for each in tallies] == [([], [], "")] * 4, table
    assert all(each.watch.peak - each.watch.first < GROWTH for each in tallies), table
    assert all(each.kept < LEAK * each.later + RESERVE for each in tallies), table
    assert set().union(*(each.calls for each in tallies)) == set(KINDS)
