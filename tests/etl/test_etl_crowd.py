"""A crowd at once: every object is answered, for AIStore takes a bare 503 for final."""

import asyncio
import time
from collections.abc import Iterator
from typing import IO

import pytest

from asgi_bridge.etl import ETLServer
from asgi_bridge.etl.testing import FakeTarget, serving

# More than the threads and the line of the core's default pool: 40 and 1000.
CROWD = 1500
LIMIT = 30.0
REQUEST = b"PUT /b/o HTTP/1.1\r\nHost: pod\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc"


class Buffered(ETLServer):
    def transform(self, data: bytes, path: str, etl_args: str) -> bytes:
        time.sleep(0.0005)  # so that the others are there before it is done
        return data.upper()


class Streaming(ETLServer):
    def transform_stream(self, reader: IO[bytes], path: str, etl_args: str) -> Iterator[bytes]:
        time.sleep(0.02)  # as above: 64 are at it
        yield reader.read().upper()


async def all_at_once(port: int) -> list[bytes]:
    come = asyncio.Event()
    left = CROWD

    async def one() -> bytes:
        nonlocal left
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        left -= 1
        if not left:
            come.set()
        await come.wait()
        writer.write(REQUEST)
        try:
            return await reader.read()
        finally:
            writer.close()

    async with asyncio.timeout(LIMIT):
        return await asyncio.gather(*(one() for _ in range(CROWD)))


@pytest.mark.parametrize("kind", [Buffered, Streaming])
def test_nobody_is_turned_away(kind: type[ETLServer], monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeTarget() as target:
        monkeypatch.setenv("AIS_TARGET_URL", target.url)
        with serving(kind().app) as etl:
            answers = asyncio.run(all_at_once(etl.port))
    assert {answer[:12] for answer in answers} == {b"HTTP/1.1 200"}
    assert {answer[-3:] for answer in answers} == {b"ABC"}
