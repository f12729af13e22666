"""A handler, or an application, called with an upload that comes in pieces of one size."""

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import anyio
import anyio.to_thread

from asgi_bridge import (
    BridgeMiddleware,
    Request,
    Response,
    SpooledReader,
    WorkerPool,
    handler,
    open_body,
)
from asgi_bridge.testing import Exchange, body, request, start
from asgi_bridge.types import ASGIApp, Message, Receive, Scope, Send

# For a whole exchange, and generous: a slow machine is no failure.
TIMEOUT: Final = 60.0


@dataclass(frozen=True, slots=True)
class Cut:
    """How an upload is cut, and how long it is about: more messages take more time.

    Attributes:
        chunk_bytes: size of each chunk.
        scale: how many bytes the test should make, about.
    """

    chunk_bytes: int
    scale: int

    def __str__(self) -> str:
        return f"chunks of {self.chunk_bytes}"

    def rows(self) -> bytes:
        """Lines of CSV below a head line, the same ones each time."""
        noise = random.Random(1)
        count = self.scale // 40
        lines = (f"{n},name {noise.random()},{noise.randrange(10**6)}\n" for n in range(count))
        return "".join(["number,name,value\n", *lines]).encode()

    def pieces(self, upload: bytes) -> Iterator[bytes]:
        """The upload as it comes."""
        for at in range(0, len(upload), self.chunk_bytes):
            yield upload[at : at + self.chunk_bytes]


CUTS: Final = [Cut(1, 800), Cut(7, 5_000), Cut(1000, 200_000), Cut(65_536, 600_000)]


def script(upload: bytes, cut: Cut) -> Iterator[Message]:
    """The messages of an upload."""
    for piece in cut.pieces(upload):
        yield request(piece, more_body=True)
    yield request()


async def exchange(app: ASGIApp, upload: bytes, cut: Cut) -> bytes:
    """Send an upload; the body of the response, which is a whole one of status 200."""
    served = Exchange(app, receive=script(upload, cut), timeout=TIMEOUT)
    await served.run()
    assert (served.status, served.complete) == (200, True)
    return served.body


async def answer(function: Callable[[Request, Response], Any], upload: bytes, cut: Cut) -> bytes:
    """What a handler function makes of an upload."""
    async with contextlib.aclosing(WorkerPool(size=2)) as pool:
        return await exchange(handler(function, pool=pool), upload, cut)


async def answer_spooled(
    function: Callable[[SpooledReader], bytes], upload: bytes, cut: Cut
) -> bytes:
    """What a function makes of an upload that it can seek in, in any application's own thread."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with open_body(scope, spool=True) as reader:
            made = await anyio.to_thread.run_sync(function, reader)
        await send(start())
        await send(body(made))

    return await exchange(BridgeMiddleware(app), upload, cut)
