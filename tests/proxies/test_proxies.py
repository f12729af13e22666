"""Every check through every proxy to every server: a few in each run, all in `make matrix`."""

import asyncio
from collections.abc import Collection, Mapping
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import pytest

from asgi_bridge.doctor.outcomes import Finding, Outcome
from tests.matrix.render import over_servers
from tests.matrix.results import PROXIES, record

from ..prose import blocks
from ..servers.processes import serving
from .checks import CHECKS, FULL, SMALL, Load, measured
from .configurations import CONFIGURATIONS, PAGE, Configuration
from .processes import in_front_of

APP: Final = "tests.proxies.apps:app"

# How each server is started. It keeps idle connections longer than the proxies do.
SERVERS: Final[Mapping[str, tuple[str, ...]]] = {
    "uvicorn": ("uvicorn-httptools", "--timeout-keep-alive=75"),
    "hypercorn": ("hypercorn-asyncio", "--keep-alive=75"),
    "granian": ("granian",),
}

# What the bridge does most for, where it is quick.
FAST: Final = (
    ("nginx", "uvicorn", ("echo-handler", "echo-first-stream", "refused")),
    (
        "nginx-unbuffered",
        "hypercorn",
        ("echo-open-body", "echo-first-handler", "lock-step-stream", "refused", "breaks", "leaves"),
    ),
    (
        "haproxy",
        "granian",
        ("echo-stream", "lock-step-handler", "refused", "leaves-idle", "continue", "reuse"),
    ),
    ("caddy", "uvicorn", ("echo-handler",)),
)


def through(
    configuration: Configuration,
    server: str,
    directory: Path,
    load: Load,
    names: Collection[str],
) -> Mapping[str, Finding]:
    """Ask a server of its own through a proxy; nothing is left running."""
    behind, before = directory / "server", directory / "proxy"
    behind.mkdir()
    before.mkdir()
    name, *options = SERVERS[server]
    with (
        serving(name, APP, behind, *options) as running,
        in_front_of(running, configuration, before) as front,
    ):
        findings = asyncio.run(measured(front, load, names))
    assert "never retrieved" not in running.log.read_text()
    return findings


def failures(configuration: Configuration, found: Mapping[str, Finding]) -> dict[str, Finding]:
    """What did not hold, without what nothing behind this proxy can make hold."""
    return {
        name: finding
        for name, finding in found.items()
        if finding.outcome is not Outcome.OK and name not in configuration.limits
    }


def as_json(
    configuration: Configuration, server: str, found: Mapping[str, Finding]
) -> dict[str, Any]:
    program = configuration.program
    return {
        "configuration": configuration.name,
        "server": server,
        "date": date.today().isoformat(),
        "versions": {
            "proxy": f"{program.title} {version(program.package)}",
            "server": f"{server} {version(server)}",
        },
        "checks": {
            name: {
                "title": CHECKS[name].title,
                "outcome": finding.outcome,
                "detail": finding.detail,
                "seconds": finding.seconds,
                "limit": configuration.limits.get(name),
            }
            for name, finding in found.items()
        },
    }


@pytest.mark.parametrize(("configuration", "server", "names"), FAST)
def test_bridge_holds(
    configuration: str, server: str, names: tuple[str, ...], tmp_path: Path
) -> None:
    it = CONFIGURATIONS[configuration]
    assert failures(it, through(it, server, tmp_path, SMALL, names)) == {}


@pytest.mark.matrix
@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_everything(configuration: str, server: str, tmp_path: Path) -> None:
    it = CONFIGURATIONS[configuration]
    found = through(it, server, tmp_path, FULL, CHECKS)
    record(PROXIES, f"{configuration}-{server}", as_json(it, server, found))
    assert failures(it, found) == {}


@pytest.mark.matrix
def test_a_hang_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks can fail: what holding the start is for does not work without it."""
    monkeypatch.setenv("DUPLEX", "full")  # the server has it from us
    monkeypatch.setattr("tests.proxies.checks.LIMIT", 3.0)
    found = through(CONFIGURATIONS["nginx"], "uvicorn", tmp_path, SMALL, ["echo-handler"])
    assert found["echo-handler"].outcome is Outcome.HANG


def test_the_page_has_no_other_configuration() -> None:
    tested = {each.heading for each in CONFIGURATIONS.values()}
    assert [block.heading for block in blocks(PAGE) if block.heading not in tested] == []
    assert all(each.text for each in CONFIGURATIONS.values())


def test_limits_name_checks() -> None:
    assert {name for each in CONFIGURATIONS.values() for name in each.limits} <= CHECKS.keys()


def test_a_cell_of_the_table_names_the_servers_that_differ() -> None:
    right, wrong = {"outcome": "ok", "limit": None}, {"outcome": "hang", "limit": None}
    impossible = {"outcome": "lost", "limit": "the proxy does not pass it on"}
    assert over_servers({"uvicorn": right, "granian": right}) == "ok"
    assert over_servers({"uvicorn": impossible, "granian": impossible}) == "**lost***"
    mixed = {"uvicorn": right, "hypercorn": right, "granian": wrong}
    assert over_servers(mixed) == "ok; granian: **hang**"
