"""Callers that leave, seen from the loop."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from asgi_bridge import ClientDisconnected
from asgi_bridge.etl import watching
from asgi_bridge.etl.transform import Job
from asgi_bridge.etl.watching import Ear, unless_gone

DISCONNECT = {"type": "http.disconnect"}
LAST = {"type": "http.request", "body": b"x", "more_body": False}

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ["asyncio"]),
]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LISTEN_AFTER", 0.0)


class Server:
    """A server's receive(): what the script says, then it waits until told."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.told = asyncio.Event()
        self.calls = 0

    async def __call__(self) -> Any:
        self.calls += 1
        assert self.calls == 1, "one at a time"
        try:
            if self.script:
                it = self.script.pop(0)
                if isinstance(it, Exception):
                    raise it
                return it
            await self.told.wait()
            return DISCONNECT
        finally:
            self.calls -= 1


async def for_ever() -> None:
    await asyncio.Event().wait()


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not come about")


@pytest.mark.parametrize("server", [DISCONNECT, OSError("gone")])
async def test_work_ends_with_its_caller(server: Any) -> None:
    with pytest.raises(ClientDisconnected):
        await unless_gone(Server(server), for_ever)


async def test_work_that_is_cancelled_is_cancelled() -> None:
    """By the server: the caller is still there."""
    task = asyncio.create_task(unless_gone(Server(), for_ever))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_ear_listens_after_the_body() -> None:
    job, server = Job("o", "", ""), Server(LAST)
    ear = Ear(server, job, announced=True)
    assert await ear() == LAST
    await until(lambda: server.calls == 1)
    asked = asyncio.create_task(ear())
    await asyncio.sleep(0)
    server.told.set()
    assert await asked == DISCONNECT
    assert job.gone
    assert await ear() == DISCONNECT
    ear.close()


async def test_an_ear_does_not_ask_twice() -> None:
    """The bridge is asking already."""
    job, server = Job("o", "", ""), Server()
    ear = Ear(server, job, announced=False)
    asked = asyncio.create_task(ear())
    await asyncio.sleep(0.01)
    server.told.set()
    assert await asked == DISCONNECT
    ear.close()


async def test_an_ear_of_a_server_that_fails() -> None:
    job, server = Job("o", "", ""), Server(OSError("gone"))
    ear = Ear(server, job, announced=False)
    await asyncio.sleep(0.01)
    with pytest.raises(OSError, match="gone"):
        await ear()
    ear.close()
