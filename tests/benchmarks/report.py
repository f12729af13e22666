"""Rows, targets, and how they are printed."""

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from .paired import Failed, Outcome, Series, Unusable

PACKAGES: Final = (
    "asgi_bridge",
    "aistore",
    "a2wsgi",
    "anyio",
    "fastapi",
    "starlette",
    "uvicorn",
    "httptools",
    "uvloop",
    "hypercorn",
)


@dataclass(frozen=True, slots=True)
class Target:
    """What a ratio, or a plain figure, must come to."""

    bound: float
    at_most: bool = False

    def met_by(self, value: float) -> bool:
        return value <= self.bound if self.at_most else value >= self.bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the results.

    Attributes:
        name: what was measured.
        unit: of both figures.
        ours: our figure.
        peer_name: whom it is compared with.
        peer: their figure.
        target: what the ratio must reach; without a ratio (`is_ratio`), what our figure must.
        less_is_better: the figures are costs, so that the ratio is theirs over ours.
        is_ratio: False where our figure itself has the target, and the peer is there to be seen.
    """

    name: str
    unit: str
    ours: Outcome
    peer_name: str
    peer: Outcome
    target: Target
    less_is_better: bool = False
    is_ratio: bool = True

    @property
    def ratio(self) -> Series | None:
        """How much better we are, run by run; above 1 is faster."""
        if not self.is_ratio or isinstance(self.ours, Unusable) or isinstance(self.peer, Unusable):
            return None
        return self.peer.per(self.ours) if self.less_is_better else self.ours.per(self.peer)

    @property
    def met(self) -> bool | None:
        """Whether the median reaches the target; None if there is nothing to judge.

        A figure that we fail to bring does not.
        """
        if isinstance(self.ours, Failed):
            return False
        judged = self.ratio if self.is_ratio else self.ours
        return self.target.met_by(judged.median) if isinstance(judged, Series) else None

    def cells(self) -> tuple[str, ...]:
        factor = "x" if self.is_ratio else f" {self.unit}"
        relation = "<=" if self.target.at_most else ">="
        return (
            self.name,
            _outcome_cell(self.ours, f" {self.unit}"),
            self.peer_name,
            _outcome_cell(self.peer, f" {self.unit}"),
            "-" if self.ratio is None else _outcome_cell(self.ratio, "x"),
            f"{relation} {_figure(self.target.bound)}{factor}",
            {True: "yes", False: "no", None: "-"}[self.met],
        )

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "unit": self.unit,
            "ours": _outcome_dict(self.ours),
            "peer_name": self.peer_name,
            "peer": _outcome_dict(self.peer),
            "ratio": None if self.ratio is None else _outcome_dict(self.ratio),
            "target": {"at_most" if self.target.at_most else "at_least": self.target.bound},
            "met": self.met,
        }


HEADINGS: Final = ("measured", "ours", "peer", "theirs", "ratio", "target", "met")


def header() -> dict[str, Any]:
    """Where the figures come from: interpreter, system, cores, versions of the packages."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def usable_cores() -> int | None:
    """The cores this process may run on, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def header_line(facts: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {number}" for name, number in facts["packages"].items())
    return f"{facts['python']}, {facts['system']}, {facts['cores']} cores; {packages}"


def table(rows: Iterable[Row]) -> str:
    """The rows as an aligned Markdown table: median (lowest to highest) in every cell."""
    lines = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    rule = tuple("-" * width for width in widths)
    return "\n".join(_line(cells, widths) for cells in (lines[0], rule, *lines[1:]))


def as_json(facts: dict[str, Any], rows: Sequence[Row]) -> str:
    return json.dumps({**facts, "rows": [row.as_dict() for row in rows]}, indent=2)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return f"| {' | '.join(padded)} |"


def _outcome_cell(outcome: Outcome, unit: str) -> str:
    if isinstance(outcome, Unusable):
        return str(outcome)
    spread = f"{_figure(outcome.low)} to {_figure(outcome.high)}"
    return f"{_figure(outcome.median)}{unit} ({spread})"


def _outcome_dict(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, Unusable):
        return {"unusable": str(outcome)}
    return {
        "median": outcome.median,
        "low": outcome.low,
        "high": outcome.high,
        "runs": list(outcome.values),
    }


def _figure(value: float) -> str:
    """Three digits at least; no more decimals than they need."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(source)" if package == "asgi_bridge" else "(not installed)"
