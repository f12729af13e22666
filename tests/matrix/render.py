"""Renders what a run of the matrix has measured into docs/compatibility.md.

`python -m tests.matrix.render DIRECTORY`, where the run has left its results; see `results`.
Only what stands between the marks is replaced.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from tests.prose import ROOT

from .results import FRAMEWORKS

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
    """Rewrite the page from the results in a directory."""
    runs = [json.loads(file.read_text()) for file in sorted(directory.glob("*.json"))]
    file = directory / FRAMEWORKS
    frameworks = (
        [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    )
    text = PAGE.read_text()
    text = replaced(text, "run", about(runs))
    text = replaced(text, "servers", server_table(rows_of(runs)))
    text = replaced(text, "rows", row_table(rows_of(runs)))
    if frameworks:
        text = replaced(text, "frameworks", framework_table(frameworks))
    PAGE.write_text(text)


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


def about(runs: list[dict[str, Any]]) -> Iterator[str]:
    last = max(runs, key=lambda run: str(run["date"]))
    versions = dict.fromkeys(
        version for row in rows_of(runs) for version in row["versions"].split(", ")
    )
    yield f"Measured on {last['date']}: asgi_bridge {last['asgi_bridge']}, Python {last['python']}"
    yield f"on {last['system']}; {', '.join(sorted(versions))}."


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
        protocol = row["protocol"] + (", TLS" if row["tls"] else "")
        name = f"| {row['name']} | {protocol} | {row['loop']}"
        yield f"{name} | {counted} | {limits or ''} | {pending or ''} |"


def framework_table(results: list[dict[str, str]]) -> Iterator[str]:
    """A line for each framework and recipe, a column for each server."""
    servers = list(dict.fromkeys(each["server"] for each in results))
    outcomes: dict[tuple[str, str], dict[str, str]] = {}
    for each in results:
        line = outcomes.setdefault((f"{each['framework']} {each['version']}", each["recipe"]), {})
        line[each["server"]] = each["outcome"]
    yield " | ".join(["| framework | recipe", *servers]) + " |"
    yield "|---" * (len(servers) + 2) + "|"
    for (framework, recipe), line in outcomes.items():
        cells = [line.get(server, "") for server in servers]
        yield " | ".join([f"| {framework} | {recipe}", *cells]) + " |"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
