"""`asgi-bridge doctor`: what the servers on this machine do, without the bridge and with it."""

import argparse
import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import Coroutine, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..doctor.certificate import make_certificate
from ..doctor.checks import CHECKS
from ..doctor.outcomes import Finding
from ..doctor.probe import BARE, BRIDGED, Measured, checks_for, measure
from ..doctor.processes import NotStarted, Processes
from ..doctor.report import NotMeasured, Result, as_json, as_text, lacking, legend, summary
from ..doctor.row import Row, is_installed
from ..doctor.rows import ROWS
from .errors import CommandError, tell
from .serve import sigterm_as_interrupt

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

DESCRIPTION = """\
Serve small applications on each server that is installed, without the bridge and inside of it, and
ask them as clients do that are slow, fast, in lock-step, or leave. The exit code is 0 when the
bridge does what it is for on all of them, 1 when it does not, and 2 when none could be asked."""

INTERRUPTED = 130
NOTHING_MEASURED = 2


def add_parser(subparsers: "Subparsers") -> None:
    """Declare the subcommand and its arguments."""
    parser = subparsers.add_parser(
        "doctor", help="what your servers do, with and without the bridge", description=DESCRIPTION
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "--server",
        nargs="+",
        metavar="NAME",
        default=[],
        help=f"only these: a server ({', '.join(sorted(server_names()))}), or one way of running "
        "it, such as hypercorn-h2-trio",
    )
    parser.add_argument(
        "--check",
        nargs="+",
        metavar="NAME",
        default=[],
        help="only these checks, such as early-answer",
    )
    parser.add_argument(
        "--list", action="store_true", help="list the ways of running servers, and the checks"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")


def run(parsed: argparse.Namespace) -> int:
    """Measure; return 0 if the bridge holds everywhere, 1 if not, 2 if nothing was measured.

    Raises:
        CommandError: a name is unknown, or none of the servers is installed.
    """
    if parsed.list:
        print(listed())
        return 0
    rows = chosen(parsed.server)
    names = chosen_checks(parsed.check)
    with tempfile.TemporaryDirectory(prefix="asgi-bridge-doctor-") as directory:
        certificate = None
        if is_installed("trustme"):
            certificate = make_certificate(Path(directory))
        processes = Processes(Path(directory), certificate)
        results: list[Result] = []
        try:
            with sigterm_as_interrupt():
                for number, row in enumerate(rows, 1):
                    result = measure_row(row, processes, names, f"{number} of {len(rows)}")
                    results.append(result)
                    if not (parsed.json or isinstance(result, NotMeasured)):
                        print(as_text(result), flush=True)
        except KeyboardInterrupt:
            tell("interrupted")
            return INTERRUPTED
        finally:
            processes.kill()
    if parsed.json:
        print(json.dumps(as_json(results), indent=2))
    else:
        print("\n".join(filter(None, (legend(results), summary(results)))), end="")
    measured = [each for each in results if not isinstance(each, NotMeasured)]
    if not measured:
        return NOTHING_MEASURED
    return int(any(each.failures for each in measured))


def listed() -> str:
    """What there is to choose from."""
    lines = ["servers"]
    for row in ROWS.values():
        server = () if is_installed(row.server) else (row.server,)
        missing = ", ".join((*server, *row.missing))
        lines.append(f"  {row.name:30} {f'needs {missing}' if missing else row.versions}")
    lines += ["checks", *(f"  {name:30} {check.title}" for name, check in CHECKS.items())]
    return "\n".join(lines)


def server_names() -> set[str]:
    return {row.server for row in ROWS.values()}


def chosen(names: list[str]) -> list[Row]:
    """The rows that are meant by names; without any, those of all servers installed.

    Raises:
        CommandError: a name is unknown, or its server is not installed.
    """
    if not names:
        rows = [row for row in ROWS.values() if is_installed(row.server)]
        if not rows:
            raise CommandError("no server is installed; pip install 'asgi_bridge[doctor,serve]'")
        return rows
    rows = [row for row in ROWS.values() if row.name in names or row.server in names]
    known = {each for row in rows for each in (row.name, row.server)}
    for name in names:
        if name not in known:
            raise unknown("server", name, (*ROWS, *server_names()))
    for row in rows:
        if not is_installed(row.server):
            raise CommandError(f"{row.server} is not installed; pip install {row.server}")
    return rows


def chosen_checks(names: list[str]) -> frozenset[str] | None:
    """The checks that are meant by names; None for all.

    Raises:
        CommandError: there is no such check.
    """
    for name in names:
        if name not in CHECKS:
            raise unknown("check", name, CHECKS)
    return frozenset(names) or None


def unknown(kind: str, name: str, known: Iterable[str]) -> CommandError:
    """What says so, with the name that is most like it: all of them would fill the screen."""
    alike = get_close_matches(name, set(known), 1)
    hint = f"; did you mean {alike[0]}?" if alike else ""
    return CommandError(f"no {kind} is called {name}{hint} (see asgi-bridge doctor --list)")


def measure_row(row: Row, processes: Processes, names: frozenset[str] | None, place: str) -> Result:
    """Measure one row, with its progress on stderr; its place among the rows is told, too."""
    if row.missing:
        return lacking(row)
    progress = Progress(row, names, place)
    try:
        return asyncio.run(until_signal(measure(row, processes, progress.note, names)))
    except NotStarted as error:
        return NotMeasured(row, f"does not start: {error}")
    finally:
        progress.end()


async def until_signal(measuring: Coroutine[Any, Any, Measured]) -> Measured:
    """Measure; let SIGINT and SIGTERM cancel that.

    An exception out of a signal handler could come between the start of a process and the note
    that is taken of it.

    Raises:
        KeyboardInterrupt: a signal came; what was started has been ended.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(measuring)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


class Progress:
    """One line on stderr that says how far a row has got; on a terminal only."""

    def __init__(self, row: Row, names: frozenset[str] | None, place: str) -> None:
        self._name = f"{row.name} ({place})"
        asked = [name for app in (BARE, BRIDGED) for name in checks_for(row, app)]
        self._total = len([name for name in asked if names is None or name in names])
        self._done = 0
        self._shown = sys.stderr.isatty()
        if not self._shown:
            tell(f"measuring {self._name}")
        self._show("starting")

    def note(self, app: str, check: str, finding: Finding) -> None:
        self._done += 1
        self._show(f"{self._done} of {self._total}: {CHECKS[check].title}")

    def end(self) -> None:
        self._show("")

    def _show(self, text: str) -> None:
        line = f"{self._name}: {text}" if text else ""
        if self._shown:
            print(f"\r\x1b[K{line[:78]}", end="", file=sys.stderr, flush=True)
