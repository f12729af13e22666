"""What was measured, as a table and as JSON."""

import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from .checks import CHECKS
from .outcomes import MEANINGS, Finding, Outcome
from .probe import Measured
from .row import Row

# How wide the first column is.
TITLES = max(len(check.title) for check in CHECKS.values())

# What stands in the bridge's column for what no bridge can cure.
LIMIT_MARK = "*"


@dataclass(frozen=True, slots=True)
class NotMeasured:
    """A row that could not be measured.

    Attributes:
        row: which.
        reason: why.
    """

    row: Row
    reason: str


def lacking(row: Row) -> NotMeasured:
    """A row whose packages are not all installed."""
    return NotMeasured(row, f"needs {', '.join(row.missing)}")


Result = Measured | NotMeasured


def as_json(results: Iterable[Result]) -> dict[str, Any]:
    """One run, as a value that JSON can hold."""
    from .. import __version__

    return {
        "asgi_bridge": __version__,
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "system": platform.system(),
        "servers": [row_as_json(result) for result in results],
    }


def row_as_json(result: Result) -> dict[str, Any]:
    row = result.row
    known: dict[str, Any] = {"name": row.name, "server": row.server, "protocol": row.protocol}
    known |= {"tls": row.secure, "loop": row.loop}
    if isinstance(result, NotMeasured):
        return {**known, "not_measured": result.reason}
    return {
        **known,
        "versions": row.versions,
        "holds": not result.failures,
        "checks": {
            name: {
                "title": CHECKS[name].title,
                "bare": finding_as_json(result.bare.get(name)),
                "bridged": finding_as_json(finding),
                "holds": result.holds(name),
                "limit": row.limits.get(name),
            }
            for name, finding in result.bridged.items()
        },
    }


def finding_as_json(finding: Finding | None) -> dict[str, Any] | None:
    return None if finding is None else asdict(finding)


def as_text(measured: Measured) -> str:
    """The table of one row."""
    return "\n".join(lines(measured)) + "\n"


def lines(measured: Measured) -> Iterator[str]:
    row = measured.row
    over = f"{row.protocol} over TLS" if row.tls else row.protocol
    yield f"{row.name} ({row.versions}, {over}, {row.loop})"
    yield f"  {'':{TITLES}} {'without':12} {'with'}"
    for name, finding in measured.bridged.items():
        bare = measured.bare.get(name)
        without = "-" if bare is None else bare.outcome
        mark = LIMIT_MARK if name in row.limits and not measured.holds(name) else ""
        yield f"  {CHECKS[name].title:{TITLES}} {without:12} {finding.outcome}{mark}"
    for name in measured.failures:
        finding = measured.bridged[name]
        yield f"  the bridge does not hold: {CHECKS[name].title}: {finding.detail}"
    yield from known_limits(measured)


def known_limits(measured: Measured) -> Iterator[str]:
    limits = measured.row.limits
    reasons = [
        limits[name] for name in limits.keys() & measured.bridged if not measured.holds(name)
    ]
    for reason in sorted(set(reasons)):
        yield f"  {LIMIT_MARK} {reason}"


def summary(results: Iterable[Result]) -> str:
    """What all tables come to, what is missing from them, and how to have it."""
    results = list(results)
    said: list[str] = []
    if measured := [each for each in results if isinstance(each, Measured)]:
        width = max(len(each.row.name) for each in measured)
        said += ["in short", *(f"  {each.row.name:{width}}  {counted(each)}" for each in measured)]
    if not_measured := [each for each in results if isinstance(each, NotMeasured)]:
        width = max(len(each.row.name) for each in not_measured)
        said += ["not measured"]
        said += [f"  {each.row.name:{width}}  {each.reason}" for each in not_measured]
        missing = dict.fromkeys(name for each in not_measured for name in each.row.missing)
        if missing:
            said += [f"  pip install {' '.join(name.replace('_', '-') for name in missing)}"]
    return "\n".join(said) + "\n"


def counted(measured: Measured) -> str:
    """How many checks are right in each column."""
    bare = [finding.outcome is Outcome.OK for finding in measured.bare.values()]
    held = [measured.holds(name) for name in measured.bridged]
    text = (
        f"{sum(bare)} of {len(bare)} right without the bridge, {sum(held)} of {len(held)} with it"
    )
    limits = len(held) - sum(held) - len(measured.failures)
    return text + (f"; no bridge can cure {limits}" if limits else "")


def legend(results: Iterable[Result]) -> str:
    """What the words mean that stand in the tables."""
    used: set[Outcome] = set()
    for result in results:
        if isinstance(result, Measured):
            columns: tuple[Mapping[str, Finding], ...] = (result.bare, result.bridged)
            used.update(finding.outcome for column in columns for finding in column.values())
    explained = [f"  {word:12} {MEANINGS[word]}" for word in MEANINGS if word in used]
    return "\n".join(["what the words mean", *explained]) + "\n" if explained else ""
