# A client that says exactly what it got.
#
# Rule 1: what was delivered is kept whatever happened after; the test compares it.
# Rule 2: a clean end is what HTTP says is one, and nothing else: the last chunk, or the length.
"""One request over a connection of its own, written and read as told, and what came of it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

import h11

BLOCK: Final = 64 * 1024


class End(Enum):
    """How a response ended, as the client saw it."""

    CLEAN = "clean"
    BROKEN = "broken"
    NEVER = "not within the limit"


class Order(Enum):
    """When the client reads."""

    DUPLEX = "while it writes"
    WRITE_FIRST = "when all is written"
    LOCK_STEP = "after each chunk, as much as it wrote"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came of a request.

    Attributes:
        status: None if no head came.
        body: all bytes of it that came.
        end: how it ended.
    """

    status: int | None
    body: bytes = field(repr=False)  # megabytes, which nobody wants to see
    end: End


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request and how it is made.

    Attributes:
        path: what for.
        chunks: the body, in what is written at once.
        pause: seconds before each chunk.
        declared: with a content-length, and not chunked.
        ends: whether the end of the body is told.
        order: when the response is read.
        pace: seconds between two reads.
        limit: seconds for all of it.
        headers: more of them.
    """

    path: str
    chunks: Sequence[bytes] = ()
    pause: float = 0.0
    declared: bool = False
    ends: bool = True
    order: Order = Order.DUPLEX
    pace: float = 0.0
    limit: float = 20.0
    headers: Sequence[tuple[str, str]] = ()


class Peer:
    """One connection with one call on it."""

    def __init__(
        self, call: Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._call = call
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
        self.status: int | None = None
        self.parts: list[bytes] = []
        self.delivered = 0
        self.end = End.NEVER

    async def run(self) -> None:
        """Make the call; everything that comes is noted in the attributes."""
        match self._call.order:
            case Order.DUPLEX:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._write())
                    both.create_task(self._read(None))
            case Order.LOCK_STEP:
                await self._write(in_step=True)
                await self._read(None)
            case Order.WRITE_FIRST:
                await self._write()
                await self._read(None)
            case Order.NEVER:
                await self._write()
                await asyncio.sleep(self._call.limit)

    async def _write(self, *, in_step: bool = False) -> None:
        call = self._call
        length = str(sum(map(len, call.chunks)))
        framing = ("content-length", length) if call.declared else ("transfer-encoding", "chunked")
        headers = [("host", "test"), framing, *call.headers]
        try:
            await self._send(h11.Request(method="PUT", target=call.path, headers=headers))
            for chunk in call.chunks:
                if call.pause:
                    await asyncio.sleep(call.pause)
                if self.end is not End.NEVER:
                    return
                await self._send(h11.Data(data=chunk))
                if in_step and not await self._read(self.delivered + len(chunk)):
                    return
            if call.ends:
                await self._send(h11.EndOfMessage())
        except OSError:
            return  # the server listens no more; what it has said is still to be read

    async def _send(self, event: h11.Event) -> None:
        self._writer.write(self._http.send(event) or b"")
        await self._writer.drain()

    async def _read(self, until: int | None) -> bool:
        """Read on until so many bytes have come, None for all; False once it has ended."""
        try:
            while self.end is End.NEVER and (until is None or self.delivered < until):
                event = self._http.next_event()
                if event is h11.NEED_DATA:
                    if self._call.pace:
                        await asyncio.sleep(self._call.pace)
                    self._http.receive_data(await self._reader.read(BLOCK))
                else:
                    self._take(event)
        except (OSError, h11.RemoteProtocolError):
            self.end = End.BROKEN
        return self.end is End.NEVER

    def _take(self, event: object) -> None:
        match event:
            case h11.Response(status_code=status):
                self.status = status
            case h11.Data(data=data):
                self.parts.append(bytes(data))
                self.delivered += len(data)
            case h11.EndOfMessage():
                self.end = End.CLEAN
            case h11.ConnectionClosed() | h11.PAUSED:
                self.end = End.BROKEN


async def call(port: int, what: Call) -> Delivery:
    """Make a call and say what came of it, within its limit."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=BLOCK)
    peer = Peer(what, reader, writer)
    try:
        async with asyncio.timeout(what.limit):
            await peer.run()
    except TimeoutError:
        pass
    finally:
        writer.transport.abort()
    return Delivery(peer.status, b"".join(peer.parts), peer.end)


def wrong(delivery: Delivery, right: bytes) -> str:
    """What is wrong with a delivery of a successful response; empty if nothing is.

    What came must be the beginning of the right answer, and all of it if the end was clean. An
    error status has a body of its own, which is whole or is not.
    """
    if delivery.status is None or delivery.status >= 400:
        return ""
    if not right.startswith(delivery.body):
        return f"{len(delivery.body)} bytes that are not the beginning of the answer"
    if delivery.end is End.CLEAN and len(delivery.body) != len(right):
        return f"{len(delivery.body)} of {len(right)} bytes, and a clean end"
    return ""
