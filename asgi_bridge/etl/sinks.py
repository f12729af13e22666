# Where the messages of an inner exchange go, when they do not go to the caller. An inner exchange
# is one run of the transform by a HandlerApp, between a receive and a send of ours.
#
# Rule 1: only the last message of a response completes it. An inner exchange that ends without it
#         has failed, and what it has sent is cut, never ended.
"""Sinks: the send of an inner exchange, into memory or into a request body."""

import asyncio
from typing import Final

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from asgi_bridge import ClientDisconnected

from .asgi import Message
from .client import BROKEN

_OK: Final = 200


class Sink:
    """Takes an inner exchange's response.

    Attributes:
        status: of the response, 0 until it starts; other than 200 it is the transform's refusal.
        headers: of the response.
        content: the body, as far as it is kept.
        complete: whether the last message has come.
    """

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.content: list[bytes] = []
        self.complete = False

    async def send(self, message: Message) -> None:
        """The inner exchange's `send`."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = dict(message["headers"])
            return
        last = not message.get("more_body")
        await self.put(message["body"], last=last)

    async def put(self, chunk: bytes, *, last: bool) -> None:
        """Take a part of the body."""
        self.complete = last
        self.content.append(chunk)

    @property
    def begun(self) -> bool:
        """Whether the response has started."""
        return self.status != 0

    @property
    def refused(self) -> bool:
        """Whether there is a refusal in place of an object."""
        return self.status != _OK


class Upload(Sink):
    """Puts the output into a request's body as it comes.

    Attributes:
        decided: set once it is clear whether there is something to send, or nothing will be.
        failure: what ended the exchange early.
        sent: bytes handed to the connection.
    """

    def __init__(self) -> None:
        super().__init__()
        self.decided = asyncio.Event()
        self.failure: Exception | None = None
        self.sent = 0
        self._opened = asyncio.Event()  # set when there is a connection to write to
        self._over = asyncio.Event()  # set when nothing more will be written
        self._writer: AbstractStreamWriter | None = None

    async def put(self, chunk: bytes, *, last: bool) -> None:
        if self.refused:
            await super().put(chunk, last=last)
            if last:
                self.decided.set()
            return
        self.decided.set()
        await self._opened.wait()  # else the task is cancelled, with the attempt
        assert self._writer is not None, "what opens it sets the writer"
        self.complete = last
        self.sent += len(chunk)
        try:
            if chunk:
                await self._writer.write(chunk)
        except BROKEN as error:
            raise ClientDisconnected(f"the next hop went away: {error}") from error
        if last:
            self._over.set()

    def end(self, failure: Exception | None) -> None:
        """The exchange is over; anything but a complete one is cut."""
        self.failure = failure
        self.decided.set()
        self._over.set()

    @property
    def size(self) -> int | None:
        """The length of the body, where it is known before it is sent."""
        declared = self.headers.get(b"content-length")
        return None if declared is None else int(declared)

    async def write_to(self, writer: AbstractStreamWriter) -> None:
        """Let the output go into a connection until it ends.

        Raises:
            ConnectionAbortedError: it did not end well.
        """
        self._writer = writer
        self._opened.set()
        await self._over.wait()
        if not self.complete:
            raise ConnectionAbortedError("the transform did not complete")


class UploadPayload(aiohttp.Payload):
    """An upload as aiohttp wants it."""

    def __init__(self, upload: Upload) -> None:
        super().__init__(upload)
        self._upload = upload

    @property
    def size(self) -> int | None:
        return self._upload.size

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self._upload.write_to(writer)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("a stream has no text")


class WholePayload(aiohttp.Payload):
    """An object in memory, written in slices.

    Args:
        content: the object.
        slice_bytes: the size of a write.
    """

    def __init__(self, content: bytes | memoryview, slice_bytes: int) -> None:
        super().__init__(content)
        self._content = content
        self._slice_bytes = slice_bytes

    @property
    def size(self) -> int | None:
        return len(self._content)

    async def write(self, writer: AbstractStreamWriter) -> None:
        content, step = self._content, self._slice_bytes
        if type(content) is bytes and len(content) <= step:
            await writer.write(content)
            return
        with memoryview(content) as view:
            for begin in range(0, len(content), step):
                await writer.write(bytes(view[begin : begin + step]))

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("an object is not text")
