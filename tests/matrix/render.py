"""Renders what a run of the matrix has measured into docs/compatibility.md.

`python -m tests.matrix.render DIRECTORY`, where the run has left its results; see `results`.
Only what stands between the marks is replaced.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from tests.frameworks.recipes import BEYOND_US, FRAMEWORKS, RECIPES
from tests.prose import ROOT
from tests.proxies.checks import CHECKS
from tests.proxies.configurations import CONFIGURATIONS

from .results import FRAMEWORKS as OF_FRAMEWORKS
from .results import PROXIES as OF_PROXIES
from .results import SERVERS as OF_SERVERS

PAGE: Final = ROOT / "docs" / "compatibility.md"

# Which columns stand for all rows of a server and protocol: its loops differ in none of them.
COLUMNS: Final = (
    "uvicorn-h11",
    "uvicorn-httptools-uvloop",
    "uvicorn-zttp-h2",
    "hypercorn-h1",
    "hypercorn-h2",
    "hypercorn-h3",
    "granian-h1",
    "granian-h2",
    "gunicorn-asgi",
    "daphne",
)

Row = dict[str, Any]


def main(directory: Path) -> None:
    """Rewrite what of the page has results in a directory."""
    runs = read(directory / OF_SERVERS)
    frameworks = in_order(read(directory / OF_FRAMEWORKS))
    proxies = read(directory / OF_PROXIES)
    text = PAGE.read_text()
    if runs and frameworks:
        rows = in_order(rows_of(runs))
        text = replaced(text, "run", about(runs, frameworks))
        text = replaced(text, "servers", server_table(rows))
        text = replaced(text, "rows", row_table(rows))
        text = replaced(text, "frameworks", framework_table(frameworks))
        text = replaced(text, "recipes", recipe_table(frameworks))
    if proxies:
        text = replaced(text, "proxies", proxy_table(proxies))
    PAGE.write_text(text)


def read(directory: Path) -> list[dict[str, Any]]:
    """What every file of a directory holds."""
    return [json.loads(file.read_text()) for file in sorted(directory.glob("*.json"))]


def in_order(rows: list[Row]) -> list[Row]:
    """By server and protocol, first without TLS and on asyncio."""
    return sorted(
        rows,
        key=lambda row: (
            row["name"].partition("-")[0],
            row["protocol"],
            row["name"].removesuffix(row["loop"]).rstrip("-"),
            row["loop"],
        ),
    )


def replaced(text: str, name: str, lines: Iterable[str]) -> str:
    """Put lines between the marks of a name."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    between = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    made = "\n".join([begin, *lines, end])
    text, count = between.subn(lambda _: made, text)
    assert count == 1, f"{PAGE} has no place for {name}"
    return text


def rows_of(runs: Iterable[dict[str, Any]]) -> list[Row]:
    """All rows of all runs that were measured."""
    return [row for run in runs for row in run["servers"] if "not_measured" not in row]


def about(runs: list[dict[str, Any]], frameworks: list[Row]) -> Iterator[str]:
    last = max(runs, key=lambda run: str(run["date"]))
    versions = dict.fromkeys(
        version for row in rows_of(runs) for version in row["versions"].split(", ")
    )
    yield f"Measured on {last['date']}: asgi_bridge {last['asgi_bridge']}, Python {last['python']}"
    yield f"on {last['system']}; {', '.join(sorted(versions, key=str.lower))};"
    titles = dict.fromkeys(title for row in frameworks for title in row["versions"].values())
    yield f"{', '.join(titles)}."


def server_table(rows: list[Row]) -> Iterator[str]:
    """A line for each check and a column for each server: without the bridge, then with it."""
    columns = [row for name in COLUMNS for row in rows if row["name"] == name]
    yield " | ".join(["| check", *(row["name"] for row in columns)]) + " |"
    yield "|---" * (len(columns) + 1) + "|"
    titles = {name: check["title"] for row in columns for name, check in row["checks"].items()}
    for name, title in titles.items():
        yield " | ".join([f"| {title}", *(cell(row["checks"].get(name)) for row in columns)]) + " |"


def cell(check: dict[str, Any] | None) -> str:
    if check is None:
        return ""
    bridged = check["bridged"]["outcome"]
    if not check["holds"]:
        bridged = f"**{bridged}**" + ("*" if check["limit"] else "")
    bare = check["bare"]["outcome"] if check["bare"] else "-"
    return bridged if bare == bridged == "ok" else f"{bare} → {bridged}"


def row_table(rows: list[Row]) -> Iterator[str]:
    """A line for each row: how much is right without the bridge, and with it."""
    yield "| server | protocol | loop | right without | right with | no bridge can | not yet |"
    yield "|---" * 7 + "|"
    for row in rows:
        checks = list(row["checks"].values())
        comparable = [check for check in checks if check["bare"]]
        bare = sum(check["bare"]["outcome"] == "ok" for check in comparable)
        held = sum(check["holds"] for check in checks)
        limits = sum(not check["holds"] and bool(check["limit"]) for check in checks)
        counted = f"{bare} of {len(comparable)} | {held} of {len(checks)}"
        pending = len(checks) - held - limits
        yield f"{named(row)} | {counted} | {limits or ''} | {pending or ''} |"


def named(row: Row) -> str:
    """The first three cells of a line."""
    protocol = row["protocol"] + (", TLS" if row["tls"] else "")
    return f"| {row['name']} | {protocol} | {row['loop']}"


def framework_table(rows: list[Row]) -> Iterator[str]:
    """A line for each row of servers, a column for each framework."""
    yield " | ".join(["| server | protocol | loop", *(each.name for each in FRAMEWORKS)]) + " |"
    yield "|---" * (len(FRAMEWORKS) + 3) + "|"
    for row in rows:
        cells = []
        for each in FRAMEWORKS:
            bare, bridged = row["bare"].get(each.own), row["bridged"].get(each.advised)
            cells.append(both(bare, bridged) if bare and bridged else "-")
        yield " | ".join([named(row), *cells]) + " |"


Ways = dict[str, dict[str, Any]]


def both(bare: Ways, bridged: Ways) -> str:
    """What has come of all ways of sending, without the bridge and with it."""
    without, within = counted(bare), counted(bridged)
    if within != "ok":
        possible = all(each["limit"] or each["outcome"] == "ok" for each in bridged.values())
        return f"{without} → **{within}**" + ("*" if possible else "")
    return within if without == within else f"{without} → {within}"


def counted(ways: Ways) -> str:
    """How often what went wrong, or that nothing did."""
    wrong = Counter(each["outcome"] for each in ways.values() if each["outcome"] != "ok")
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(wrong.items())) or "ok"


def recipe_table(rows: list[Row]) -> Iterator[str]:
    """A line for each application: how many bodies came back whole, on all servers together."""
    yield "| framework | the body is streamed by | without | with | no bridge can |"
    yield "|---" * 5 + "|"
    for name, recipe in RECIPES.items():
        bare, bridged = (
            [way for row in rows for way in row[column].get(name, {}).values()]
            for column in ("bare", "bridged")
        )
        limits = sum(bool(way["limit"]) and way["outcome"] != "ok" for way in bridged)
        mark = "" if name not in BEYOND_US else " (see its recipe)"
        cells = [whole(bare), whole(bridged), str(limits or "")]
        yield " | ".join([f"| {recipe.framework} | {recipe.how}{mark}", *cells]) + " |"


def whole(ways: list[dict[str, Any]]) -> str:
    right = sum(way["outcome"] == "ok" for way in ways)
    return f"{right} of {len(ways)}" if ways else "-"


def proxy_table(rows: list[Row]) -> Iterator[str]:
    """A line for each check and a column for each configuration, with all servers in a cell."""
    columns = {name: [row for row in rows if row["configuration"] == name] for name in shown(rows)}
    versions = dict.fromkeys(row["versions"][each] for each in ("proxy", "server") for row in rows)
    date = max(str(row["date"]) for row in rows)
    yield f"Measured on {date}: {', '.join(sorted(versions, key=str.lower))}."
    yield ""
    headings = (CONFIGURATIONS[name].heading for name in columns)
    yield " | ".join(["| check", *headings]) + " |"
    yield "|---" * (len(columns) + 1) + "|"
    for name, check in CHECKS.items():
        cells = (
            over_servers({row["server"]: row["checks"][name] for row in behind})
            for behind in columns.values()
        )
        yield " | ".join([f"| {check.title}", *cells]) + " |"


def shown(rows: list[Row]) -> list[str]:
    """The names of the configurations that were run, in the order of their page."""
    run = {row["configuration"] for row in rows}
    return [name for name in CONFIGURATIONS if name in run]


def over_servers(checks: dict[str, dict[str, Any]]) -> str:
    """What has come of a check on all servers: one word if it is the same, else which differ."""
    words = {server: word(check) for server, check in checks.items()}
    common, *others = Counter(words.values()).most_common()
    differing = [f"{server}: {each}" for server, each in words.items() if each != common[0]]
    return "; ".join([common[0], *differing]) if others else common[0]


def word(check: dict[str, Any]) -> str:
    outcome: str = check["outcome"]
    if outcome == "ok":
        return outcome
    return f"**{outcome}**" + ("*" if check["limit"] else "")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
