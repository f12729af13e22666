"""How many transforms run at once, and on which thread."""

import asyncio
import gc
import os
import pickle
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO, Any

import anyio
import pytest
from asgi_lifespan import LifespanManager

from asgi_bridge.etl import ETLServer, FastAPIServer
from asgi_bridge.etl.testing import Answer, FakeTarget, serving
from asgi_bridge.etl.turns import Turns
from asgi_bridge.testing import Exchange
from asgi_bridge.testing import request as request_message

CALLERS = 8
LIMIT = 10.0
LARGE = 3 * 1024 * 1024


@pytest.fixture(autouse=True)
def target(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTarget]:
    with FakeTarget() as target:
        monkeypatch.setenv("AIS_TARGET_URL", target.url)
        monkeypatch.delenv("AIS_ETL_CONCURRENCY", raising=False)
        yield target


class Net(FastAPIServer):
    """What a network of OpenCV's does: it keeps its input between two calls."""

    def __init__(self) -> None:
        super().__init__()
        self.busy = 0
        self.most = 0
        self.counted = 0
        self.local = threading.local()
        self.local.greeting = b"hello "
        self.database = sqlite3.connect(":memory:")
        self.database.execute("create table seen (path text)")

    def set_input(self, data: bytes) -> None:
        self.input = data

    def forward(self) -> bytes:
        return self.input.upper()

    def transform(self, data: bytes, path: str, etl_args: str) -> bytes:
        self.busy += 1
        self.most = max(self.most, self.busy)
        self.set_input(data)
        counted = self.counted
        time.sleep(0.001)  # lets any other thread in
        self.counted = counted + 1
        output = self.forward()
        self.database.execute("insert into seen values (?)", (path,))
        self.busy -= 1
        return bytes(self.local.greeting) + output


def all_at_once(calls: list[Callable[[], Answer]]) -> list[Answer]:
    with ThreadPoolExecutor(CALLERS) as pool:
        return [each.result(LIMIT) for each in [pool.submit(call) for call in calls]]


def test_a_stateful_transform_and_eight_callers(target: FakeTarget, tmp_path: Path) -> None:
    """By body, by file, from the target, and delivered: each answer belongs to its own object."""
    server = Net()
    target.objects["ais/@#/b/9"] = b"from the target"
    file = tmp_path / "object"
    file.write_bytes(b"from a file")
    with serving(server.app) as etl:

        def delivered(number: int) -> Answer:
            name = f"ais/@#/d/{number}"
            answer = etl.push("b/o", b"object %d" % number, pipeline=[target.destination(name)])
            return Answer(answer.status, body=target.stored[name])

        large = bytes(range(256)) * (LARGE // 256)
        calls: list[tuple[Callable[[], Answer], bytes]] = []
        for number in range(20):
            body = b"object %d" % number
            calls += [
                (lambda body=body: etl.push("b/o", body), body),  # type: ignore[misc]
                (lambda number=number: delivered(number), body),  # type: ignore[misc]
                (lambda: etl.push("b/f", fqn=file), b"from a file"),
                (lambda: etl.pull("ais/@#/b/9"), b"from the target"),
            ]
        calls += [(lambda: etl.push("b/l", large), large)] * 3
        answers = all_at_once([call for call, _ in calls])
    expected = [b"hello " + body.upper() for _, body in calls]
    assert [answer.body for answer in answers] == expected
    assert (server.most, server.counted) == (1, len(calls))


class Slow(ETLServer):
    """Waits in its transform until the test lets it go on."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.threads: set[int] = set()

    def transform(self, data: bytes, path: str, etl_args: str) -> bytes:
        self.threads.add(threading.get_ident())
        self.begun.release()
        assert self.go_on.wait(LIMIT)
        return data


def test_all_else_goes_on_meanwhile(target: FakeTarget) -> None:
    target.objects["ais/@#/b/o"] = b"x"
    server = Slow()
    with serving(server.app) as etl, ThreadPoolExecutor(CALLERS) as pool:
        try:
            first = pool.submit(etl.push, "b/1", b"1")
            assert server.begun.acquire(timeout=LIMIT)
            upload = pool.submit(etl.push, "b/2", bytes(LARGE))
            pulled = pool.submit(etl.pull, "ais/@#/b/o")
            deadline = time.monotonic() + LIMIT
            while not target.gets():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert etl.request("GET", "/health").body == b"Running"
            refused = etl.push("b/o", pipeline=["http://10.1.2.3/x"])
            assert refused.status == 403
        finally:
            server.go_on.set()
        assert [each.result(LIMIT).status for each in (first, upload, pulled)] == [200] * 3
    assert len(server.threads) == 1


class Class(Slow):
    concurrency = 3


class Careful(Slow):
    concurrency = 1


@pytest.mark.parametrize(
    ("kind", "argument", "environment", "expected"),
    [
        (Slow, None, "", 1),
        (Slow, None, "4", 4),
        (Slow, 2, "", 2),
        (Slow, 2, "4", 4),
        (Slow, 1, "4", 1),
        (Class, None, "", 3),
        (Class, 5, "", 5),
        (Class, None, "2", 2),
        (Careful, None, "4", 1),
        (Careful, 2, "", 2),
    ],
)
def test_as_many_as_was_said(
    kind: type[Slow],
    argument: int | None,
    environment: str,
    expected: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIS_ETL_CONCURRENCY", environment)
    server = kind(concurrency=argument)
    assert server.concurrency == expected
    with serving(server.app) as etl, ThreadPoolExecutor(CALLERS) as pool:
        calls = [pool.submit(etl.push, "b/o", b"x") for _ in range(expected + 1)]
        try:
            for _ in range(expected):
                assert server.begun.acquire(timeout=LIMIT)
            assert not server.begun.acquire(timeout=0.1), "one more than was said"
        finally:
            server.go_on.set()
        assert [each.result(LIMIT).body for each in calls] == [b"x"] * (expected + 1)
    assert len(server.threads) == expected


class OnLoop(ETLServer):
    concurrency = 0

    def __init__(self) -> None:
        super().__init__()
        self.made_on = threading.get_ident()

    def transform(self, data: bytes, path: str, etl_args: str) -> bytes:
        asyncio.get_running_loop()
        return data


def test_on_the_thread_of_the_loop() -> None:
    server = OnLoop()
    assert server.made_on == threading.get_ident()
    with serving(server.app) as etl:
        assert etl.push("b/o", b"abc").body == b"abc"


class Streams(ETLServer):
    def transform_stream(self, reader: IO[bytes], path: str, etl_args: str) -> Iterator[bytes]:
        yield reader.read()


def test_streams_are_concurrent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Streams().concurrency == 64
    monkeypatch.setenv("AIS_ETL_CONCURRENCY", "2")
    assert Streams().concurrency == 2
    with pytest.raises(ValueError, match="at least 1"):
        Streams(concurrency=0)
    monkeypatch.delenv("AIS_ETL_CONCURRENCY")
    with pytest.raises(ValueError, match="at least 0"):
        Slow(concurrency=-1)


# The thread.


class Loop(ETLServer):
    def __init__(self) -> None:
        super().__init__()
        self.made_on = threading.get_ident()
        self.loop = asyncio.get_event_loop()

    def transform(self, data: bytes, path: str, etl_args: str) -> bytes:
        assert asyncio.get_event_loop() is self.loop
        self.loop.run_until_complete(asyncio.sleep(0))
        return b"%d" % threading.get_ident()


@pytest.mark.anyio
async def test_one_thread_for_the_life_of_the_server() -> None:
    """That of `__init__`, through two lifespans, and on whatever event loop."""
    server = Loop()
    threads = set()
    for _ in range(2):
        async with LifespanManager(server.app):
            for _ in range(3):
                exchange = Exchange(server, method="PUT", receive=[request_message(b"abc")])
                threads.add((await exchange.run())[-1]["body"])
    assert threads == {b"%d" % server.made_on}
    assert server.made_on != threading.get_ident()


def test_the_thread_ends_with_the_server() -> None:
    server = Loop()
    thread = next(each for each in threading.enumerate() if each.ident == server.made_on)
    del server
    gc.collect()
    thread.join(LIMIT)
    assert not thread.is_alive()


def test_what_init_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(ETLServer):
        def __init__(self) -> None:
            raise KeyError("no model")

        def transform(self, data: bytes, path: str, etl_args: str) -> bytes:
            return data

    with pytest.raises(KeyError, match="no model"):
        Broken()


MODULE = """
import importlib, pickle
from asgi_bridge.etl import ETLServer

class Model:
    pass

class Server(ETLServer):
    def __init__(self):
        super().__init__()
        self.model = pickle.loads(SAVED)
        self.module = importlib.import_module(__name__)

    def transform(self, data, path, etl_args):
        return data

SAVED = pickle.dumps(Model())
app = Server().app
"""


def test_made_while_its_module_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread than the importing one looks into that module, and does not wait for it."""
    (tmp_path / "module_of_a_server.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    try:
        import module_of_a_server  # type: ignore[import-not-found] # it was just written

        assert module_of_a_server.app is not None
        assert not module_of_a_server.__spec__._initializing
    finally:
        sys.modules.pop("module_of_a_server", None)


def test_a_server_within_a_server() -> None:
    class Outer(Loop):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Loop()

    outer = Outer()
    assert outer.inner.made_on != outer.made_on


# Turns.


def test_a_turn_within_a_turn_is_that_turn() -> None:
    turns = Turns(1, "test")
    assert turns.call(lambda: turns.call(threading.get_ident)) != threading.get_ident()


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@pytest.mark.anyio
async def test_a_turn_that_nobody_waits_for_is_left_out() -> None:
    turns, go_on, called = Turns(1, "test"), threading.Event(), list[str]()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon((await turns.run(lambda: go_on.wait(LIMIT))).wait)
        with anyio.move_on_after(0.05):
            await (await turns.run(lambda: called.append("in vain"))).wait()
        go_on.set()
        await (await turns.run(lambda: called.append("last"))).wait()
    assert called == ["last"]


@pytest.mark.anyio
async def test_a_turn_that_is_over_is_not_waited_for() -> None:
    turns = Turns(0, "test")
    turn = await turns.run(lambda: 7)
    assert (turn.finished, await turn.wait()) == (True, 7)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.anyio
async def test_turns_of_one_round() -> None:
    """One of them is called off before the loop lingers; the others do not notice."""
    turns, called = Turns(1, "test"), list[int]()
    await turns.run(lambda: None)
    turns._alone = 0  # as after a while
    tasks = [asyncio.create_task(turns.run(partial(called.append, n))) for n in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    last = await turns.run(lambda: None)
    await last.wait()
    assert called == [0, 2]


def test_a_process_that_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns(1, "test")
    before = turns.call(threading.get_ident)
    monkeypatch.setattr("asgi_bridge.etl.turns.os.getpid", lambda: 0)
    assert turns.call(threading.get_ident) != before


def test_the_child_of_a_fork_has_threads_of_its_own() -> None:
    turns = Turns(1, "test")
    turns.call(os.getpid)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, b"%d" % turns.call(os.getpid))
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        assert pipe.read() == b"%d" % child
    os.waitpid(child, 0)


def test_pickles_are_of_no_concern() -> None:
    """The metaclass is found by name, as pickle and cloudpickle want it."""
    assert pickle.loads(pickle.dumps(Careful)) is Careful
