"""HTTP/1.1 on an asyncio stream, as little of it as the checks need.

By hand and not with h11, since several of the servers are built on that: what a client makes of
their bytes should not depend on the same code.
"""

import asyncio
import ssl
from contextlib import suppress

from .base import BLOCK, Broken, Garbled, Headers, connected, has_body


class H1Connection:
    """One connection; its exchanges come one after the other."""

    multiplexed = False

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int, tls: ssl.SSLContext | None = None) -> "H1Connection":
        return cls(*await connected(port, tls))

    async def request(
        self, method: str, path: str, *, length: int | None = None, headers: Headers = ()
    ) -> "H1Exchange":
        lines = [f"{method} {path} HTTP/1.1", "host: localhost"]
        chunked = has_body(method) and length is None
        if chunked:
            lines.append("transfer-encoding: chunked")
        elif has_body(method):
            lines.append(f"content-length: {length}")
        lines += [f"{name}: {value}" for name, value in headers]
        exchange = H1Exchange(self, method, chunked)
        await self.write("\r\n".join([*lines, "", ""]).encode())
        return exchange

    async def write(self, data: bytes) -> None:
        try:
            self.writer.write(data)
            await self.writer.drain()
        except OSError as error:
            raise Broken(f"writing: {error}") from error

    async def close(self) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


class H1Exchange:
    """One request and its response on a connection."""

    def __init__(self, connection: H1Connection, method: str, chunked: bool) -> None:
        self._connection = connection
        self._reader = connection.reader
        self._method = method
        self._chunked_upload = chunked
        self._status: int | None = None  # of the response's head, once that has come
        self._left: int | None = None  # bytes of the body or chunk to come; None: up to the close
        self._chunked = False
        self.headers: dict[str, str] = {}

    async def send(self, chunk: bytes) -> None:
        if self._chunked_upload:
            chunk = b"%x\r\n%s\r\n" % (len(chunk), chunk)
        await self._connection.write(chunk)

    async def end(self) -> None:
        if self._chunked_upload:
            await self._connection.write(b"0\r\n\r\n")

    async def continued(self) -> bool:
        status = await self._next_head()
        return status == 100

    async def head(self) -> int:
        while self._status is None:
            await self._next_head()
        return self._status

    async def _next_head(self) -> int:
        line, *fields = (await self._until(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        version, _, rest = line.partition(" ")
        if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
            raise Garbled(f"no status line: {line[:40]!r}")
        status = int(rest[:3])
        if status >= 200:
            pairs = (field.partition(":") for field in fields if field)
            self.headers = {name.lower(): value.strip() for name, _, value in pairs}
            self._status = status
            self._frame(status)
        return status

    def _frame(self, status: int) -> None:
        self._chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        if self._method == "HEAD" or status in (204, 304):
            self._left, self._chunked = 0, False
        elif self._chunked:
            self._left = 0
        elif "content-length" in self.headers:
            self._left = int(self.headers["content-length"])

    async def read(self) -> bytes:
        if self._chunked and not self._left:
            await self._next_chunk()
        if self._left == 0:
            return b""
        try:
            data = await self._reader.read(min(BLOCK, self._left or BLOCK))
        except OSError as error:
            raise Broken(f"reading: {error}") from error
        if self._left is None:
            return data
        if not data:
            raise Broken("closed in the middle of the body")
        self._left -= len(data)
        if self._chunked and not self._left:
            await self._until(b"\r\n")
        return data

    async def _next_chunk(self) -> None:
        line = await self._until(b"\r\n")
        try:
            self._left = int(line.partition(b";")[0], 16)
        except ValueError:
            raise Garbled(f"no size of a chunk: {line[:40]!r}") from None
        if not self._left:
            self._chunked = False
            await self._until(b"\r\n")

    async def _until(self, mark: bytes) -> bytes:
        try:
            return (await self._reader.readuntil(mark))[: -len(mark)]
        except (asyncio.IncompleteReadError, OSError) as error:
            raise Broken(f"closed: {error}") from error

    async def leave(self) -> None:
        await self._connection.close()
