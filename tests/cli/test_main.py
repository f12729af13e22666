"""The command itself: help, version, and how it ends."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import asgi_bridge
from asgi_bridge.cli import main

from .serving import LIMIT, ROOT


def test_alone_it_prints_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "serve an ASGI app, a handler or a blocking function" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"]])
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: asgi-bridge")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"asgi-bridge {asgi_bridge.__version__}\n"


def test_unknown_command_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serv"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("asgi-bridge: error: argument COMMAND: invalid choice: 'serv'")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "helps"),
    [
        (["serve", "app:app", "--port", "80"], "--port 80 (see asgi-bridge serve --help)"),
        (["doctor", "--port", "80"], "--port 80 (see asgi-bridge doctor --help)"),
        (["--port=80"], "--port=80 (see asgi-bridge --help)"),
    ],
)
def test_unknown_option_names_the_help_to_read(
    arguments: list[str], helps: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    expected = f"asgi-bridge: error: unrecognized arguments: {helps}\n"
    assert capsys.readouterr().err == expected


def test_python_m_is_the_same_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "asgi_bridge", "serve", "nothing"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("asgi-bridge: error: TARGET is module:name")


def test_importing_main_module_runs_nothing() -> None:
    module = importlib.import_module("asgi_bridge.__main__")  # as a spawned worker process does
    assert module.main is main
