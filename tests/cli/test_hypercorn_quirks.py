"""What Hypercorn does to connections, and what `serve` does about it."""

import logging
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from asgi_bridge.cli.hypercorn_quirks import (
    RESTART,
    OnceASecond,
    ToldOfShutdown,
    let_connections_end,
)
from asgi_bridge.types import Message, Receive, Scope, Send

from .serving import BARE_APP, LIMIT, Command, eventually, serving

LOOPS = ("asyncio", "uvloop", "trio")
CONNECTIONS = 200
REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"

SOCKETS = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})
"""


@contextmanager
def hypercorn(directory: Path, app: str, loop: str) -> Iterator[Command]:
    (directory / "target.py").write_text(app)
    with serving(directory, "target.py:app", "--server", "hypercorn", "-k", loop) as command:
        assert command.port
        yield command


def descriptors(command: Command) -> int:
    return len(list(Path(f"/proc/{command.process.pid}/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors are counted in /proc")
@pytest.mark.parametrize("loop", LOOPS)
def test_connections_end_with_their_clients(loop: str, tmp_path: Path) -> None:
    """And not when the keep-alive timeout is over, 75 s later."""
    with hypercorn(tmp_path, BARE_APP, loop) as command:
        command.answer()
        eventually(lambda: descriptors(command) < 40)
        before = descriptors(command)
        for asked in (True, False):
            with ExitStack() as stack:
                address = ("127.0.0.1", command.port)
                for _ in range(CONNECTIONS):
                    client = stack.enter_context(socket.create_connection(address, LIMIT))
                    if asked:
                        client.sendall(REQUEST)
                        assert client.recv(65536).startswith(b"HTTP/1.1 200")
                eventually(lambda: descriptors(command) > before + CONNECTIONS // 2)
            eventually(lambda: descriptors(command) <= before)
        assert "Traceback" not in command.stderr


@pytest.mark.parametrize("loop", LOOPS)
def test_idle_websockets_are_told_at_once(loop: str, tmp_path: Path) -> None:
    with hypercorn(tmp_path, SOCKETS, loop) as command:
        url = f"ws://127.0.0.1:{command.port}/"
        with connect(url, compression=None, ping_interval=None, open_timeout=LIMIT) as session:
            session.send("hello")
            assert session.recv(timeout=LIMIT) == "hello"
            began = time.monotonic()
            command.process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed) as caught:
                session.recv(timeout=LIMIT)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == RESTART
        assert command.process.wait(LIMIT) == 0
        assert time.monotonic() - began < 5
        assert "Traceback" not in command.stderr


LIMITED = """
import resource, sys
from asgi_bridge.cli import main
resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))
sys.exit(main(["serve", "target.py:app", "--server", "hypercorn", "--bind", "127.0.0.1:0"]))
"""


def test_a_flood_does_not_fill_the_log(tmp_path: Path) -> None:
    (tmp_path / "target.py").write_text(BARE_APP)
    log = tmp_path / "stderr.txt"
    with ExitStack() as stack:
        file = stack.enter_context(log.open("wb"))
        process = subprocess.Popen([sys.executable, "-c", LIMITED], cwd=tmp_path, stderr=file)
        stack.callback(process.wait, LIMIT)
        stack.callback(process.kill)
        command = Command(process, log)
        address = ("127.0.0.1", command.port)
        began = time.monotonic()
        for _ in range(100):
            stack.enter_context(socket.create_connection(address, LIMIT))
        eventually(lambda: command.stderr.count("no descriptors left") >= 2)
        assert command.stderr.count("\n") <= 4 + 2 * (time.monotonic() - began)
        assert "Traceback" not in command.stderr


def test_limits_can_be_lowered_here() -> None:
    """Else the test above tests nothing."""
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 100


# Piece by piece.


def test_a_server_that_has_changed_is_left_alone() -> None:
    class Changed:
        pass

    let_connections_end(Changed)
    assert not hasattr(Changed, "_read_data")


@pytest.mark.anyio
async def test_a_server_is_treated_once() -> None:
    class Idle:
        stopped = 0

        async def stop(self) -> None:
            self.stopped += 1

    class Server:
        def __init__(self, idle_task: Idle | None) -> None:
            if idle_task is not None:
                self.idle_task = idle_task

        async def _read_data(self) -> None:
            pass

    for _ in range(2):
        let_connections_end(Server)
    idle = Idle()
    await Server(idle)._read_data()
    await Server(None)._read_data()
    assert idle.stopped == 1


@pytest.mark.anyio
async def test_a_busy_socket_is_closed_when_it_next_waits() -> None:
    told, sent = anyio.Event(), list[Message]()
    busy = anyio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "websocket.receive"
        busy.set()
        await told.wait()
        await send({"type": "websocket.send", "text": "done"})
        for _ in range(2):
            assert await receive() == {"type": "websocket.disconnect", "code": RESTART}
        await send({"type": "websocket.send", "text": "too late"})

    async def receive() -> Message:
        return {"type": "websocket.receive", "text": "do"}

    async def send(message: Message) -> None:
        sent.append(message)

    outer = ToldOfShutdown(app)
    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(outer, {"type": "websocket"}, receive, send)
            await busy.wait()
            outer.tell()
            told.set()
    assert sent == [
        {"type": "websocket.send", "text": "done"},
        {"type": "websocket.close", "code": RESTART},
    ]


def record(message: str, error: Any = None) -> logging.LogRecord:
    return logging.LogRecord("asyncio", logging.ERROR, "", 0, message, None, error)


def test_one_line_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("asgi_bridge.cli.hypercorn_quirks.time.monotonic", lambda: now[0])
    once = OnceASecond()
    assert once.filter(record("anything else"))
    passed = []
    for at in (100.0, 100.1, 100.9, 101.0, 103.0):
        now[0] = at
        it = record("socket.accept() out of system resource\nsocket: ...", (OSError, None, None))
        if once.filter(it):
            passed.append(it)
    assert [("(2 lines" in it.getMessage(), it.exc_info) for it in passed] == [
        (False, None),
        (True, None),
        (False, None),
    ]
