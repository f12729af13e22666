"""The real thing: `asgi-bridge serve` in its own process, asked over loopback."""

import os
import signal
import socket
import time
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest

from .serving import BARE_APP, LIMIT, SERVERS, Command, eventually, serving

HANDLERS = """
import sys

from asgi_bridge import handler

@handler
def upper(request, response):
    for chunk in request.body.chunks():
        yield chunk.upper()

def plain(request, response):
    return request.body.read()[::-1]

class Holder:
    inner = upper

def interval(request, response):
    return f"{sys.getswitchinterval():.4f}"

def make():
    return plain
"""

OWN_INTERVAL = """
import sys

sys.setswitchinterval(0.002)

def interval(request, response):
    return f"{sys.getswitchinterval():.4f}"
"""


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    (tmp_path / "bare.py").write_text(BARE_APP)
    return tmp_path


@pytest.fixture
def handlers(tmp_path: Path) -> Path:
    (tmp_path / "handlers.py").write_text(HANDLERS)
    return tmp_path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("server", SERVERS)
def test_bare_app_file(server: str, number: signal.Signals, bare: Path) -> None:
    with serving(bare, "bare.py:app", "--server", server) as command:
        assert command.answer() == b"plain"
        assert command.end(number) == 0
        line = f"asgi-bridge: serving bare.py:app on http://127.0.0.1:{command.port} ({server})\n"
        assert command.stderr == line


@pytest.mark.parametrize("server", SERVERS)
def test_loop_gets_its_turn(server: str, handlers: Path) -> None:
    """Threads that compute in Python must not hold up the event loop: see docs/reliability.md."""
    with serving(handlers, "handlers:interval", "--server", server) as command:
        assert command.answer() == b"0.0005"
        command.end()


def test_target_may_say_when_it_lets_go(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN_INTERVAL)
    with serving(tmp_path, "own:interval") as command:
        assert command.answer() == b"0.0020"
        command.end()


@pytest.mark.parametrize("server", SERVERS)
def test_several_workers(server: str, bare: Path) -> None:
    with serving(bare, "bare:app", "--server", server, "--workers", "2") as command:
        assert command.answer() == b"plain"
        assert command.end() == 0
        # Granian may say that it killed a worker that had only just started.
        assert command.stderr.count("\n") == 1 or server == "granian"


@pytest.mark.parametrize("worker_class", ["uvloop", "trio"])
def test_worker_class(worker_class: str, handlers: Path) -> None:
    with serving(handlers, "handlers:plain", "--worker-class", worker_class) as command:
        assert command.answer(b"abc") == b"cba"
        assert command.end() == 0
        assert command.stderr.count("\n") == 1


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    ("target", "answer"),
    [
        ("handlers:upper", b"ABC"),
        ("handlers.py:plain", b"cba"),
        ("handlers:Holder.inner", b"ABC"),
        ("handlers:make --factory", b"cba"),
    ],
)
def test_handlers_and_functions(target: str, answer: bytes, server: str, handlers: Path) -> None:
    with serving(handlers, *target.split(), "--server", server) as command:
        assert command.answer(b"abc") == answer
        assert command.end() == 0


def test_app_dir(handlers: Path) -> None:
    (handlers / "src").mkdir()
    (handlers / "handlers.py").rename(handlers / "src" / "moved.py")
    with serving(handlers, "moved:plain", "--app-dir", "src") as command:
        assert command.answer(b"abc") == b"cba"
        assert command.end() == 0


@pytest.mark.parametrize("server", SERVERS)
def test_reload(server: str, tmp_path: Path) -> None:
    file = tmp_path / "edited.py"
    text = "def function(request, response):\n    return {!r}\n"
    file.write_text(text.format(b"first"))
    with serving(tmp_path, "edited.py:function", "--server", server, "--reload") as command:
        eventually(lambda: command.gives(b"first"))
        edit(file, text.format(b"the second"), command, b"the second")
        message = f"importing edited.py failed: SyntaxError: expected ':' ({file}, line 1)"
        broken = "def function(request, response)\n"
        edit(file, broken, command, f"asgi-bridge: {message}\n".encode())
        edit(file, text.format(b"and the third"), command, b"and the third")
        assert command.stderr.count("starting again") == (0 if server == "granian" else 3)
        assert command.end() == 0
        assert "Traceback" not in command.stderr


def edit(file: Path, text: str, command: Command, expected: bytes) -> None:
    file.write_text(text)
    eventually(lambda: command.gives(expected))


@pytest.mark.parametrize("server", SERVERS)
def test_access_log(server: str, bare: Path) -> None:
    with serving(bare, "bare.py:app", "--server", server, "--access-log") as command:
        command.answer()
        command.wait_for(r'127\.0\.0\.1.* "GET / .*" 200')
        assert command.end() == 0
        assert len(command.stderr.splitlines()) == 2


@pytest.mark.parametrize("server", SERVERS)
def test_log_level(server: str, bare: Path) -> None:
    with serving(bare, "bare.py:app", "--server", server, "--log-level", "info") as command:
        command.answer()
        command.wait_for(r"\[INFO\]")


@pytest.mark.parametrize("server", SERVERS)
def test_keep_alive(server: str, bare: Path) -> None:
    keep_alive = ["--server", server, "--keep-alive", "1"]
    with serving(bare, "bare.py:app", *keep_alive) as command, command.connection() as idle:
        idle.request("GET", "/")
        idle.getresponse().read()
        started = time.monotonic()
        assert idle.sock.recv(1) == b""
        assert time.monotonic() - started < 5  # far from 75, the default


@pytest.mark.parametrize("server", SERVERS)
def test_taken_port(server: str, bare: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with serving(bare, "bare.py:app", "--server", server, "--bind", address) as command:
            assert command.process.wait(LIMIT) == 2
            assert command.stderr.startswith(f"asgi-bridge: error: cannot bind {address}: ")
            assert command.stderr.count("\n") == 1


@pytest.mark.parametrize("server", SERVERS)
def test_its_port_is_taken_for_a_second_one(server: str, bare: Path) -> None:
    (bare / "second").mkdir()
    with serving(bare, "bare.py:app", "--server", server) as first:
        first.answer()
        address = f"127.0.0.1:{first.port}"
        second = ["../bare.py:app", "--server", server, "--bind", address]
        with serving(bare / "second", *second) as command:
            assert command.process.wait(LIMIT) == 2
            assert "another process has it" in command.stderr
        assert first.answer() == b"plain"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_while_the_target_loads(number: signal.Signals, tmp_path: Path) -> None:
    text = "import sys, time\nprint('loading', file=sys.stderr, flush=True)\ntime.sleep(60)\n"
    (tmp_path / "slow.py").write_text(text)
    with serving(tmp_path, "slow.py:app") as command:
        command.wait_for("loading")
        assert command.end(number) == 0
        assert command.stderr == "loading\n"


def test_running_requests_end_first(tmp_path: Path) -> None:
    """Two workers, one with a request, and a service manager that signals the whole group."""
    text = """
def slow(request, response):
    for chunk in request.body.chunks():
        yield chunk
"""
    (tmp_path / "slow.py").write_text(text)
    with (
        serving(tmp_path, "slow:slow", "--workers", "2") as command,
        command.connection() as busy,
        command.connection() as idle,
    ):
        response = begin_upload(busy)
        assert response.read(3) == b"abc"
        idle.request("PUT", "/", b"")
        idle.getresponse().read()
        os.killpg(command.process.pid, signal.SIGTERM)
        assert idle.sock.recv(1) == b""  # so the workers have heard
        busy.send(b"def")
        assert response.read() == b"def"
        assert command.process.wait(LIMIT) == 0


def begin_upload(connection: HTTPConnection) -> HTTPResponse:
    """Send `abc` of a body of six bytes; return the response once it has begun."""
    connection.putrequest("PUT", "/")
    connection.putheader("content-length", "6")
    connection.endheaders(b"abc")
    return connection.getresponse()


@pytest.mark.parametrize("arguments", [*SERVERS, "hypercorn --worker-class trio"])
def test_request_that_outlives_the_graceful_timeout(arguments: str, handlers: Path) -> None:
    server = ["--server", *arguments.split(), "--graceful-timeout", "1"]
    with (
        serving(handlers, "handlers:upper", *server) as command,
        command.connection() as connection,
    ):
        assert begin_upload(connection).read(3) == b"ABC"  # it runs, and waits for the rest
        assert command.end() == 0
        assert "Traceback" not in command.stderr


@pytest.mark.parametrize(
    ("arguments", "exit_code"),
    [
        ("--server hypercorn", 1),
        ("--server hypercorn --workers 2", 1),
        ("--server hypercorn --worker-class trio", 1),
        ("--server uvicorn", 3),
        ("--server uvicorn --workers 2", 1),
        ("--server granian", 1),
    ],
)
def test_app_that_refuses_to_start(arguments: str, exit_code: int, tmp_path: Path) -> None:
    text = """
async def app(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})
"""
    (tmp_path / "refusing.py").write_text(text)
    with serving(tmp_path, "refusing.py:app", *arguments.split()) as command:
        assert command.process.wait(LIMIT) == exit_code
        if "hypercorn" in arguments:
            assert "asgi-bridge: error: Lifespan failure in startup. 'no database'" in (
                command.stderr.splitlines()
            )
