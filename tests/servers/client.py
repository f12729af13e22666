"""An HTTP/1.1 client that reads and writes when the test says so, on asyncio streams."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import h11

from .processes import LIMIT, Server

BLOCK: Final = 64 * 1024
# 3 MB: above every buffer of the bridge, and no multiple of anyone's block.
BODY: Final = bytes(range(256)) * 12_000 + b"the end"


class Truncated(Exception):
    """The server closed the connection in the middle of a response."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response."""

    status: int
    body: bytes


class Client:
    """One connection. What it does in what order is the test's business."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT)
        self._body = bytearray()  # response bytes that have come and were not asked for yet

    async def request(self, path: str, **headers: str) -> None:
        """Send the head of a PUT; chunked, unless a content_length is among the headers."""
        if "content_length" not in headers:
            headers["transfer_encoding"] = "chunked"
        pairs = [(name.replace("_", "-"), value) for name, value in headers.items()]
        head = h11.Request(method="PUT", target=path, headers=[("host", "test"), *pairs])
        await self._send(head)

    async def send(self, chunk: bytes) -> None:
        """Send some of the request's body."""
        await self._send(h11.Data(data=chunk))

    async def end(self) -> None:
        """End the request's body."""
        await self._send(h11.EndOfMessage())

    async def upload(self, body: bytes) -> None:
        """Send a whole body and its end; a server that stops listening ends it early."""
        try:
            for position in range(0, len(body), BLOCK):
                await self.send(body[position : position + BLOCK])
            await self.end()
        except ConnectionError:
            pass

    async def head(self) -> int:
        """Read a head, of an interim response or a final one; return its status."""
        event = await self._next()
        assert isinstance(event, h11.Response | h11.InformationalResponse), event
        return event.status_code

    async def read(self, count: int) -> bytes:
        """Read exactly so many bytes of the response's body."""
        while len(self._body) < count:
            event = await self._next()
            assert isinstance(event, h11.Data), f"{event} after {bytes(self._body)!r}"
            self._body += event.data
        taken = bytes(self._body[:count])
        del self._body[:count]
        return taken

    async def rest(self) -> bytes:
        """Read the response's body to its end.

        Raises:
            Truncated: there is none.
        """
        while not isinstance(event := await self._next(), h11.EndOfMessage):
            assert isinstance(event, h11.Data), event
            self._body += event.data
        taken = bytes(self._body)
        self._body.clear()
        return taken

    async def answer(self) -> Answer:
        """Read a whole response."""
        return Answer(await self.head(), await self.rest())

    def next_request(self) -> None:
        """Go on to the next exchange on this connection; both sides must be done with this one."""
        self._http.start_next_cycle()

    def cut(self) -> None:
        """Leave at once."""
        self._writer.transport.abort()

    async def _send(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if data:
            self._writer.write(data)
            await self._writer.drain()

    async def _next(self) -> h11.Event:
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                raise Truncated(str(error)) from error
            if event is not h11.NEED_DATA:
                assert not isinstance(event, type), event
                return event
            self._http.receive_data(await self._reader.read(BLOCK))


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[Client]:
    """A client of a server, for a block that may not take longer than `LIMIT`."""
    async with asyncio.timeout(LIMIT):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            yield Client(reader, writer)
        finally:
            writer.transport.abort()
