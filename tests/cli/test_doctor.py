"""`asgi-bridge doctor`: what it prints, how it ends, and that it leaves nothing running."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from asgi_bridge.cli import doctor, main
from asgi_bridge.doctor import row
from asgi_bridge.doctor.checks import CHECKS
from asgi_bridge.doctor.outcomes import OK, Finding, Outcome
from asgi_bridge.doctor.probe import Measured
from asgi_bridge.doctor.report import LIMIT_MARK, NotMeasured, as_text, summary
from asgi_bridge.doctor.rows import ROWS, hypercorn

from .serving import LIMIT, ROOT, eventually

SHORT = "0 of 2 right without the bridge, 2 of 2 with it"


def test_one_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--server", "uvicorn-h11", "--check", "spec-version", "tail"]) == 0
    out, err = capsys.readouterr()
    assert err == "asgi-bridge: measuring uvicorn-h11 (1 of 1)\n"
    title, head, *lines = out.splitlines()
    assert title.startswith("uvicorn-h11 (uvicorn 0.")
    assert head.split() == ["without", "with"]
    assert [line.split()[-2:] for line in lines[:2]] == [["lost", "ok"], ["missed", "ok"]]
    assert "what the words mean" in lines
    assert lines[-2:] == ["in short", f"  uvicorn-h11  {SHORT}"]


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json", "--server", "hypercorn-h1", "--check", "no-content"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["servers"]
    assert (row["name"], row["protocol"], row["holds"]) == ("hypercorn-h1", "h1", True)
    assert row["checks"]["no-content"]["bridged"]["outcome"] == "ok"


def test_what_does_not_hold_is_the_exit_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ROWS, "hypercorn-h1", hypercorn("hypercorn-h1", limits={}))
    arguments = ["doctor", "--server", "hypercorn-h1", "--check", "continue-not-sent"]
    assert main(arguments) == 1
    assert "the bridge does not hold: no 100-continue for a refused" in capsys.readouterr().out


def test_a_limit_is_told_of_and_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--server", "hypercorn-h1", "--check", "continue-not-sent"]) == 0
    out = capsys.readouterr().out
    assert "wrong*\n" in out
    assert out.endswith("0 of 1 right without the bridge, 0 of 1 with it; no bridge can cure 1\n")
    assert "  * it sends the 100 by itself, before it calls the application\n" in out


def test_limits_of_what_was_not_asked_are_not_told_of() -> None:
    row = ROWS["daphne"]
    assert as_text(Measured(row, {}, {"no-content": OK})).count(LIMIT_MARK) == 0
    hang = Finding(Outcome.HANG)
    both = Measured(row, {}, {"tail": hang, "leaves-uploading": hang})
    assert as_text(both).count(f"  {LIMIT_MARK} {row.limits['tail']}\n") == 1


def test_missing_client(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row, "is_installed", lambda name: name not in ("aioquic", "trustme"))
    monkeypatch.setattr(doctor, "is_installed", lambda name: name == "hypercorn")
    assert main(["doctor", "--server", "hypercorn-h3"]) == doctor.NOTHING_MEASURED
    assert capsys.readouterr().out == (
        "not measured\n  hypercorn-h3  needs aioquic, trustme\n  pip install aioquic trustme\n"
    )
    assert main(["doctor", "--json", "--server", "hypercorn-h3"]) == doctor.NOTHING_MEASURED
    (told,) = json.loads(capsys.readouterr().out)["servers"]
    assert told["not_measured"] == "needs aioquic, trustme"


def test_server_that_does_not_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = row.Row(name="broken", server="uvicorn", command=("asgi_bridge", "serve", "nothing"))
    monkeypatch.setitem(ROWS, "broken", broken)
    assert main(["doctor", "--server", "broken"]) == doctor.NOTHING_MEASURED
    assert "broken  does not start: asgi-bridge: error" in capsys.readouterr().out


def test_what_was_measured_is_told_apart_from_what_was_not() -> None:
    measured = Measured(ROWS["uvicorn-h11"], {}, {"tail": OK})
    told = summary([measured, NotMeasured(ROWS["daphne"], "does not start")])
    assert told.splitlines() == [
        "in short",
        "  uvicorn-h11  0 of 0 right without the bridge, 1 of 1 with it",
        "not measured",
        "  daphne  does not start",
    ]


def test_list_has_all_that_can_be_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "is_installed", lambda name: name != "daphne")
    assert main(["doctor", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} == {"servers", *ROWS, "checks", *CHECKS}
    assert "  daphne                         needs daphne" in lines


UNKNOWN: dict[str, tuple[list[str], str]] = {
    "server": (["--server", "nginx"], "no server is called nginx"),
    "like a server": (
        ["--server", "granian-h3"],
        "no server is called granian-h3; did you mean granian-h2?",
    ),
    "check": (["--check", "nope"], "no check is called nope"),
    "like a check": (
        ["--server", "uvicorn", "--check", "tail", "early-answers"],
        "no check is called early-answers; did you mean early-answer?",
    ),
}


@pytest.mark.parametrize(("arguments", "told"), UNKNOWN.values(), ids=UNKNOWN)
def test_unknown_name(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", *arguments]) == 2
    error = capsys.readouterr().err
    assert error == f"asgi-bridge: error: {told} (see asgi-bridge doctor --list)\n"


def test_server_that_is_not_installed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "is_installed", lambda name: False)
    assert main(["doctor", "--server", "daphne"]) == 2
    assert "error: daphne is not installed; pip install daphne" in capsys.readouterr().err
    assert main(["doctor"]) == 2
    # The extra `doctor` alone has clients and no server: it would lead back to this line.
    expected = "error: no server is installed; pip install 'asgi_bridge[doctor,serve]'\n"
    assert capsys.readouterr().err.endswith(expected)


def test_all_installed_servers_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "is_installed", lambda name: name in ("uvicorn", "granian"))
    assert {row.server for row in doctor.chosen([])} == {"uvicorn", "granian"}


class Terminal:
    """As much of a terminal as progress is written to."""

    def __init__(self) -> None:
        self.written = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> None:
        self.written += text

    def flush(self) -> None:
        pass


def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    names = frozenset(("tail", "head"))
    progress = doctor.Progress(ROWS["uvicorn-h11"], names, "2 of 3")
    progress.note("bare", "tail", Finding(Outcome.LOST))
    progress.note("bridged", "head", Finding(Outcome.OK))
    progress.end()
    assert terminal.written.split("\r\x1b[K") == [
        "",
        "uvicorn-h11 (2 of 3): starting",
        "uvicorn-h11 (2 of 3): 1 of 4: client leaves after its upload: all of it is rea",
        "uvicorn-h11 (2 of 3): 2 of 4: HEAD has no body",
        "",
    ]


def group_of_a_server(of: int) -> int | None:
    """The process group of a server that a process has started, if there is one yet."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            _, _, fields = status.read_text().rpartition(") ")
            if fields.split()[1] == str(of):
                return int(status.parent.name)
    return None


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_nothing_behind(number: signal.Signals, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "asgi_bridge", "doctor", "--server", "hypercorn-h1"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        group = eventually(lambda: group_of_a_server(process.pid))
        process.send_signal(number)
        _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == doctor.INTERRUPTED
    assert err == "asgi-bridge: measuring hypercorn-h1 (1 of 1)\nasgi-bridge: interrupted\n"
    with pytest.raises(ProcessLookupError):
        os.killpg(group, 0)
    assert list(tmp_path.iterdir()) == []
