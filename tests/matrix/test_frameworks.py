"""Every framework on every server: a body that is streamed back is whole, however it is sent.

One server in the ordinary run is asked in tests/frameworks; all of them are in `make matrix`.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from asgi_bridge.doctor.certificate import make_certificate
from asgi_bridge.doctor.outcomes import Finding, Outcome
from asgi_bridge.doctor.processes import Processes
from asgi_bridge.doctor.row import Row
from asgi_bridge.doctor.rows import ROWS
from tests.frameworks.apps import APPS, BARE
from tests.frameworks.recipes import BEYOND_US, FRAMEWORKS, RECIPES

from .results import FRAMEWORKS as KIND
from .results import record
from .streaming import Findings, limit_of, streamed

MODULE = "tests.frameworks.apps"

# What a server prints where something went wrong that no client has seen.
COMPLAINTS = ("Traceback", "never retrieved")


async def measured(row: Row, directory: Path) -> tuple[Findings, Findings]:
    """What has come back without the bridge, and with it; nothing is left running."""
    certificate = make_certificate(directory)
    places = [directory / name for name in ("bare", "bridged", "beyond")]
    for place in places:
        place.mkdir()
    bare, bridged, beyond = (Processes(place, certificate, MODULE) for place in places)

    async def with_bridge() -> Findings:
        found = await streamed(row, "app", APPS, bridged, due=True)
        return {**found, **await streamed(row, "app", BEYOND_US, beyond, due=True)}

    try:
        return await asyncio.gather(streamed(row, "without", BARE, bare, due=False), with_bridge())
    finally:
        for each in (bare, bridged, beyond):
            each.kill()


def as_json(row: Row, bare: Findings, bridged: Findings) -> dict[str, Any]:
    def table(findings: Findings) -> dict[str, Any]:
        return {
            name: {
                way: {"outcome": finding.outcome, "limit": limit_of(row, name, way)}
                for way, finding in ways.items()
            }
            for name, ways in findings.items()
        }

    return {
        "name": row.name,
        "protocol": row.protocol,
        "tls": row.secure,
        "loop": row.loop,
        "versions": {each.name: each.title for each in FRAMEWORKS if each.package},
        "bare": table(bare),
        "bridged": table(bridged),
    }


def failures(row: Row, bridged: Findings) -> dict[tuple[str, str], Finding]:
    """What has not come back whole, without what no bridge can bring back."""
    return {
        (name, way): finding
        for name, ways in bridged.items()
        for way, finding in ways.items()
        if finding.outcome is not Outcome.OK and limit_of(row, name, way) is None
    }


@pytest.mark.matrix
@pytest.mark.parametrize("name", ROWS)
def test_every_body_comes_back(name: str, tmp_path: Path) -> None:
    row = ROWS[name]
    if row.missing:
        pytest.skip(f"needs {', '.join(row.missing)}")
    bare, bridged = asyncio.run(measured(row, tmp_path))
    record(KIND, name, as_json(row, bare, bridged))
    assert failures(row, bridged) == {}
    printed = "".join(log.read_text() for log in (tmp_path / "bridged").glob("*.log"))
    assert [each for each in COMPLAINTS if each in printed] == [], printed


def test_the_table_has_a_line_for_each_application() -> None:
    assert RECIPES.keys() == APPS.keys() | BARE.keys()
    for framework in FRAMEWORKS:
        assert framework.own in BARE
        assert framework.advised in APPS
