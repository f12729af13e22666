"""Worker processes: when they are replaced, renewed, ended and killed."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from asgi_bridge.cli import supervisor
from asgi_bridge.cli.errors import CommandError
from asgi_bridge.cli.settings import Settings
from asgi_bridge.cli.supervisor import imported_files, modification_times, supervise, work

from .serving import LIMIT, eventually

# What takes a server's place here leaves a file named after its process in the directory that
# the workers start in.


def serve_until_told(settings: Settings, bound: socket.socket) -> int:
    signal.signal(signal.SIGUSR1, lambda number, frame: sys.exit(0))
    Path(f"{os.getpid()}.worker").touch()
    while True:
        signal.pause()


def serve_in_spite_of_term(settings: Settings, bound: socket.socket) -> int:
    signal.signal(signal.SIGTERM, lambda number, frame: Path(f"{os.getpid()}.told").touch())
    return serve_until_told(settings, bound)


def fail(settings: Settings, bound: socket.socket) -> int:
    raise CommandError("no database", exit_code=3)


@pytest.fixture
def bound() -> socket.socket:
    """What the workers are given; none of those here touches it."""
    return socket.socket()


@pytest.fixture(autouse=True)
def late_signals_do_nothing() -> Iterator[None]:
    """Keep a signal that comes after the supervisor's end from ending the tests."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGTERM, before)


def workers_in(directory: Path) -> set[int]:
    return {int(file.stem) for file in directory.glob("*.worker")}


class Meanwhile(threading.Thread):
    """Run a function beside the supervisor, which needs the main thread for its signals."""

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._act = act
        self._failure: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._act()
        except BaseException as failure:
            self._failure = failure
            os.kill(os.getpid(), signal.SIGTERM)  # so that the supervisor ends

    def check(self) -> None:
        self.join(LIMIT)
        assert not self.is_alive()
        if self._failure is not None:
            raise self._failure


def tell_to_end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    ("number", "how"),
    [(signal.SIGKILL, "was killed by SIGKILL"), (signal.SIGUSR1, "has ended")],
)
def test_worker_is_replaced(
    number: signal.Signals,
    how: str,
    settings: Settings,
    bound: socket.socket,
    here: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def end_one() -> None:
        eventually(lambda: len(workers_in(here)) == 2)
        os.kill(min(workers_in(here)), number)
        eventually(lambda: len(workers_in(here)) == 3)
        tell_to_end()

    meanwhile = Meanwhile(end_one)
    with bound:
        assert supervise(serve_until_told, replace(settings, workers=2), bound) == 0
    meanwhile.check()
    line = f"asgi-bridge: a worker process {how}; another one takes its place\n"
    assert capfd.readouterr().err == line
    assert not any(map(exists, workers_in(here)))


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_worker_that_fails_ends_the_others(
    settings: Settings, bound: socket.socket, capfd: pytest.CaptureFixture[str]
) -> None:
    with bound, pytest.raises(CommandError) as raised:
        supervise(fail, replace(settings, workers=2), bound)
    assert str(raised.value) == "a worker process failed, exit code 3"
    assert raised.value.exit_code == 1
    assert "asgi-bridge: error: no database\n" in capfd.readouterr().err


@pytest.mark.parametrize("again", [False, True])
def test_worker_that_does_not_end_is_killed(
    again: bool,
    settings: Settings,
    bound: socket.socket,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After the timeout, or at the second signal."""
    monkeypatch.setattr(supervisor, "FORCE_GRACE", 0.0)
    if again:
        settings = replace(settings, graceful_timeout=10 * int(LIMIT))
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    def tell_it_once_or_twice() -> None:
        eventually(lambda: workers_in(here))
        tell_to_end()
        eventually(lambda: list(here.glob("*.told")))
        if again:
            tell_to_end()

    meanwhile = Meanwhile(tell_it_once_or_twice)
    started = time.monotonic()
    with bound:
        assert supervise(serve_in_spite_of_term, settings, bound) == 0
    assert time.monotonic() - started < LIMIT
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers
    meanwhile.check()
    assert not any(map(exists, workers_in(here)))


def test_changed_file_renews_the_worker(
    settings: Settings,
    bound: socket.socket,
    here: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def change() -> None:
        eventually(lambda: len(workers_in(here)) == 1)
        (here / "new.py").touch()
        eventually(lambda: len(workers_in(here)) == 2)
        tell_to_end()

    meanwhile = Meanwhile(change)
    with bound:
        assert supervise(serve_until_told, replace(settings, reload=True), bound) == 0
    meanwhile.check()
    assert capfd.readouterr().err == "asgi-bridge: a file has changed; starting again\n"


def test_exit_code_of_a_worker(settings: Settings, bound: socket.socket) -> None:
    with bound, pytest.raises(SystemExit) as ended:
        work(fail, settings, bound)
    assert ended.value.code == 3


def test_watched_files(here: Path) -> None:
    for name in (
        "app.py",
        "app.txt",
        "package/module.py",
        "package/__pycache__/module.py",
        ".hidden/module.py",
        "venv/pyvenv.cfg",
        "venv/lib/module.py",
    ):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).touch()
    (here / "dangling.py").symlink_to("nothing")
    times = modification_times(here, imported_files())
    watched = {str(Path(each).relative_to(here)) for each in times if each.startswith(str(here))}
    assert watched == {"app.py", "package/module.py", "dangling.py"}
    assert times[str(here / "dangling.py")] == 0
    assert supervisor.__file__ in times
    os.utime(here / "app.py", (1, 1))
    assert modification_times(here, imported_files()) != times
