"""Run other packages' own tests without the bridge and behind it, and compare test by test.

Everything that is fetched or made lies below `.suites` and `.venv-suites`: for each suite the
archive of its source, what that unpacks to, an environment, and the reports. Only the standard
library is needed to run this, and git for the sources that the package index has not.
"""

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .compare import Outcomes, complaints, listed_in, outcomes_of
from .settings import SUITES, Suite

Command = list[Path | str]

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
PLACE: Final = ROOT / ".suites"

WORKERS: Final = "2"  # pytest-xdist's

# Seconds. One run takes half a minute to two minutes on two cores that are idle.
SUITE_TIMEOUT: Final = 1200
# For what waits for the package index.
FETCH_TIMEOUT: Final = 900


def main(names: Sequence[str]) -> int:
    """Compare these suites, or all; return how the process is to exit."""
    unknown = set(names) - SUITES.keys()
    if unknown:
        say(f"no such suite: {', '.join(sorted(unknown))}; there are: {', '.join(SUITES)}")
        return 2
    good = [compared(SUITES[name]) for name in names or SUITES]
    return 0 if all(good) else 1


def compared(suite: Suite) -> bool:
    """Run one suite twice, say what differs, and return whether all that does is listed."""
    say(f"{suite.name}: fetching and installing {suite.source}")
    try:
        source = unpacked(suite, fetched(suite))
        python = installed(suite, source)
    except subprocess.SubprocessError as error:  # the other suites may be had
        say(f"{suite.name}: not run, {error}")
        return False
    without = outcomes(suite, source, python, behind=False)
    behind = outcomes(suite, source, python, behind=True)
    listed = listed_in((HERE / f"{suite.name}.txt").read_text())
    found = complaints(without, behind, listed)
    for line in [summary(suite, without, behind), *found]:
        say(line)
    return not found


def summary(suite: Suite, without: Outcomes, behind: Outcomes) -> str:
    """What two runs have come to, in a line."""
    counts = ", ".join(f"{count} {kind}" for kind, count in Counter(without.values()).items())
    differ = sum(behind.get(name) != outcome for name, outcome in without.items())
    return (
        f"{suite.name}: {len(without)} tests, without the bridge {counts}; "
        f"behind it {differ} differ"
    )


def fetched(suite: Suite) -> Path:
    """The archive of the source, which is downloaded once."""
    place = PLACE / suite.name / "archive"
    stamp = place / ".source"
    if not stamp.exists() or stamp.read_text() != suite.source:
        shutil.rmtree(place, ignore_errors=True)
        pip(
            sys.executable,
            *("download", "--quiet", "--no-deps", "--no-binary", ":all:"),
            *("--dest", place, suite.source),
        )
        stamp.write_text(suite.source)
    return next(each for each in place.iterdir() if each != stamp)


def unpacked(suite: Suite, archive: Path) -> Path:
    """The archive's content, as it came: nothing is left of the last run."""
    place = PLACE / suite.name / "source"
    shutil.rmtree(place, ignore_errors=True)
    shutil.unpack_archive(archive, place, filter=None if archive.suffix == ".zip" else "data")
    return next(place.iterdir())


def installed(suite: Suite, source: Path) -> Path:
    """The interpreter of an environment that has all that the suite needs, and the bridge."""
    environment = ROOT / ".venv-suites" / suite.name
    python, stamp = environment / "bin" / "python", environment / ".installed"
    wanted = f"{suite}\n{(ROOT / 'pyproject.toml').read_text()}"
    if not stamp.exists() or stamp.read_text() != wanted:
        call(sys.executable, "-m", "venv", "--clear", environment)
        pip(python, "install", "--quiet", "--upgrade", "pip>=25.1")  # the first that knows groups
        groups = (f"--group={source / 'pyproject.toml'}:{group}" for group in suite.groups)
        pip(python, "install", "--quiet", "--editable", ROOT, *suite.requirements, *groups)
        stamp.write_text(wanted)
    return python


def outcomes(suite: Suite, source: Path, python: Path, *, behind: bool) -> Outcomes:
    """Run a suite, and return how each of its tests ended.

    Raises:
        RuntimeError: it did not run.
    """
    name = "behind" if behind else "without"
    report, log = (PLACE / suite.name / f"{name}.{kind}" for kind in ("xml", "log"))
    report.unlink(missing_ok=True)
    (PLACE / "pytest.ini").touch()  # or a suite without a configuration would find ours
    say(f"{suite.name}: {name} the bridge")
    command: Command = [
        *(python, "-m", "pytest", "-q", "--rootdir", ".", "--numprocesses", WORKERS),
        *("-p", "no:cacheprovider", "-o", "junit_family=xunit1", "--junitxml", report),
        *suite.arguments,
        *(("-p", suite.bridge) if behind else ()),
    ]
    with log.open("w") as output:
        status = subprocess.run(
            command,
            cwd=source / suite.folder,
            env={**os.environ, "PYTHONPATH": str(HERE / "plugin")},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=SUITE_TIMEOUT,
        ).returncode
    ended = outcomes_of(report) if report.exists() else {}
    if status not in (0, 1) or not ended:  # all have passed, or some have failed
        raise RuntimeError(f"pytest ended with {status}, see {log}")
    return ended


def pip(python: Path | str, *arguments: Path | str) -> None:
    """Call pip, in the environment of an interpreter."""
    call(python, "-m", "pip", *arguments)


def call(*command: Path | str) -> None:
    """Run a command that has to succeed, in bounded time."""
    subprocess.run(command, check=True, timeout=FETCH_TIMEOUT)


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)
