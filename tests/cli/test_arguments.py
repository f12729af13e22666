"""`asgi-bridge serve` in this process: everything it refuses before any server starts."""

import signal
import socket
import sys
from pathlib import Path

import pytest

from asgi_bridge.cli import main

from .serving import BARE_APP


@pytest.fixture
def app_file(here: Path) -> str:
    (here / "bare.py").write_text(BARE_APP)
    return "bare.py:app"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "0"], "argument -w/--workers: a whole number of at least 1, not '0'"),
        (["--workers", "two"], "argument -w/--workers: a whole number of at least 1, not 'two'"),
        (["--workers", "-1"], "argument -w/--workers: a whole number of at least 1, not '-1'"),
        (["--bind", "8000"], "argument -b/--bind: HOST:PORT with a port of 0 to 65535"),
        (["--app-dir", "nowhere"], "argument --app-dir: there is no directory nowhere"),
        (["--server", "daphne"], "argument --server: invalid choice: 'daphne'"),
        (["--reload", "--workers", "2"], "--reload is for development, with one worker"),
        (["--server", "granian", "-k", "trio"], "--worker-class is Hypercorn's, not granian's"),
        (["--bind", "no-such-host.invalid:80"], "cannot resolve the host"),
    ],
)
def test_bad_arguments(
    arguments: list[str], message: str, app_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", app_file, *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"asgi-bridge: error: {message}")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "package", "install"),
    [
        ([], "hypercorn", "'asgi_bridge[serve]'"),
        (["--server", "uvicorn"], "uvicorn", "uvicorn"),
        (["--server", "granian"], "granian", "granian"),
        (["-k", "trio"], "trio", "trio"),
        (["-k", "uvloop"], "uvloop", "uvloop"),
        (["--server", "granian", "--reload"], "watchfiles", "'granian[reload]'"),
    ],
)
def test_missing_package(
    arguments: list[str],
    package: str,
    install: str,
    app_file: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["serve", app_file, *arguments]) == 2
    expected = f"asgi-bridge: error: {package} is not installed; pip install {install}\n"
    assert capsys.readouterr().err == expected


def test_taken_port(app_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        assert main(["serve", app_file, "--bind", address]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"asgi-bridge: error: cannot bind {address}: another process has it")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("make = 3", "--factory: made:make is not a plain function or class"),
        ("async def make(): ...", "--factory: made:make is not a plain function or class"),
        ("def make(): return 3", "what made:make returned is of type int"),
        ("\ndef make(): 1 / 0", "calling made:make failed: ZeroDivisionError: division by zero "),
        ("def make(): raise KeyboardInterrupt", None),
    ],
)
def test_bad_factory(
    text: str, message: str | None, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "made.py").write_text(text + "\n")
    assert main(["serve", "made:make", "--factory"]) == (0 if message is None else 2)
    error = capsys.readouterr().err
    assert error.startswith(f"asgi-bridge: error: {message}") or error == ""


def test_signal_handler_is_put_back(app_file: str) -> None:
    before = signal.getsignal(signal.SIGTERM)
    main(["serve", app_file, "--bind", "no-such-host.invalid:80"])
    assert signal.getsignal(signal.SIGTERM) is before
