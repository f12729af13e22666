"""What is let go as soon as an exchange is over, without the garbage collector's help."""

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from asgi_bridge.etl import ETLServer
from asgi_bridge.testing import DISCONNECT, Exchange, Scripted, request

LARGE = 4 * 1024 * 1024


class Output(bytearray):
    """An object that can be watched; `bytes` cannot."""


class Watched:
    """Makes the output of a transform, and keeps a weak reference to the last one."""

    last: Callable[[], Output | None] = staticmethod(lambda: None)

    def mark(self, size: int) -> Output:
        output = Output(size)
        self.last = weakref.ref(output)
        return output


class Buffered(ETLServer, Watched):
    def transform(self, data: bytes, path: str, etl_args: str) -> Output:
        output = self.mark(LARGE)
        if etl_args == "fail":
            raise ValueError(f"with {output[:1]!r}")
        return output


class Streaming(ETLServer, Watched):
    def transform_stream(self, reader: Any, path: str, etl_args: str) -> Iterator[Output]:
        output = self.mark(LARGE)
        if etl_args == "fail":
            raise ValueError(f"with {output[:1]!r}")
        if etl_args == "read":
            output += reader.read()
        while True:
            yield output


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(params=[Buffered, Streaming])
def server(request: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AIS_TARGET_URL", "http://127.0.0.1:9/v1/etl/_object/e/s")
    server = request.param()
    server.logger.disabled = True  # pytest keeps what is logged, with its frames
    return server


async def test_a_transform_that_fails(server: Any, anyio_backend: str) -> None:
    exchange = Exchange(
        server, method="PUT", query_string=b"etl_args=fail", receive=[request(b"x")], timeout=30
    )
    await exchange.run()
    assert server.last() is None


async def test_a_caller_that_leaves_its_answer(server: Any, anyio_backend: str) -> None:
    async with Exchange(server, method="PUT", receive=[request(b"x")], timeout=30) as exchange:
        exchange.stall_send()
        await exchange.until_sending()
        exchange.disconnect()
    assert server.last() is None


async def test_a_caller_that_leaves_its_upload(server: Any, anyio_backend: str) -> None:
    script: list[Scripted] = [request(b"x", more_body=True), DISCONNECT]
    exchange = Exchange(
        server, method="PUT", query_string=b"etl_args=read", receive=script, timeout=30
    )
    await exchange.run()
    assert server.last() is None
