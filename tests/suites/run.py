"""Run the frameworks' own test suites without the bridge and behind it, and compare test by test.

Everything that is fetched or made lies below `.suites` and `.venv-suites`: the source archives, as
the package index has them, what they unpack to, an environment for each, and the reports. Only the
standard library is needed to run this.
"""

import os
import shutil
import subprocess
import sys
import tarfile
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
    say(f"{suite.name} {suite.version}: fetching and installing")
    source = unpacked(suite, fetched(suite))
    python = installed(suite, source)
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
        f"{suite.name} {suite.version}: {len(without)} tests, without the bridge {counts}; "
        f"behind it {differ} differ"
    )


def fetched(suite: Suite) -> Path:
    """The source archive."""
    archive = PLACE / f"{suite.folder}.tar.gz"
    if not archive.exists():
        command: Command = [
            "download",
            "--quiet",
            "--no-deps",
            "--no-binary",
            suite.name,
            "--dest",
            PLACE,
        ]
        pip(sys.executable, *command, f"{suite.name}=={suite.version}")
    return archive


def unpacked(suite: Suite, archive: Path) -> Path:
    """The archive's content, as it came: nothing is left of the last run."""
    source = PLACE / suite.folder
    shutil.rmtree(source, ignore_errors=True)
    with tarfile.open(archive) as tar:
        tar.extractall(PLACE, filter="data")
    return source


def installed(suite: Suite, source: Path) -> Path:
    """The interpreter of an environment that has all that the suite needs, and the bridge."""
    environment = ROOT / ".venv-suites" / suite.name
    python, stamp = environment / "bin" / "python", environment / ".installed"
    wanted = f"{suite}\n{(ROOT / 'pyproject.toml').read_text()}"
    if not stamp.exists() or stamp.read_text() != wanted:
        call(sys.executable, "-m", "venv", "--clear", environment)
        pip(python, "install", "--quiet", "--upgrade", "pip>=25.1")  # the first that knows groups
        group = f"{source / 'pyproject.toml'}:{suite.group}"
        pip(python, "install", "--quiet", "--editable", ROOT, *suite.installed, "--group", group)
        stamp.write_text(wanted)
    return python


def outcomes(suite: Suite, source: Path, python: Path, *, behind: bool) -> Outcomes:
    """Run a suite, and return how each of its tests ended.

    Raises:
        RuntimeError: it did not run.
    """
    name = f"{suite.name}-{'behind' if behind else 'without'}"
    report, log = PLACE / f"{name}.xml", PLACE / f"{name}.log"
    report.unlink(missing_ok=True)
    say(f"{suite.name} {suite.version}: {'behind' if behind else 'without'} the bridge")
    command: Command = [
        python,
        "-m",
        "pytest",
        "-q",
        "--numprocesses",
        WORKERS,
        "-p",
        "no:cacheprovider",
    ]
    command += ["-o", "junit_family=xunit1", "--junitxml", report]
    command += ["-p", "wrapping"] if behind else []
    with log.open("w") as output:
        status = subprocess.run(
            command,
            cwd=source,
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
