# What a test waits for.
#
# Rule 1: every wait for the app also ends when the app does, and then says how it ended.
# Rule 2: the app's exception comes out of the first wait that it makes pointless, as itself.
"""Expecting: the waits of a scripted exchange."""

from collections.abc import Callable, Iterable
from typing import NoReturn

import anyio

from ..types import Message
from .messages import Scripted
from .view import View


class Expecting(View):
    """An exchange whose messages are taken one after the other.

    Args:
        receive: as for `View`.
        max_receives: likewise.
        timeout: longest wait in seconds, None for no limit.
    """

    def __init__(
        self, receive: Iterable[Scripted], max_receives: int, timeout: float | None
    ) -> None:
        super().__init__(receive, max_receives)
        self.timeout = timeout

    async def expect_message(self) -> Message:
        """Take the next message, of any type."""
        await self._until("a message", lambda: bool(self._sending.unread))
        return self._sending.unread.popleft()

    async def expect_start(self) -> Message:
        """Take the next message, which is the start."""
        message = await self.expect_message()
        if message["type"] != "http.response.start":
            raise AssertionError(f"expected the start, got {message['type']!r}: {self._account()}")
        return message

    async def expect_chunk(self) -> bytes:
        """Take the next response body chunk, passing over all messages without bytes."""
        chunk: bytes = (await self._message_with_bytes("a chunk"))["body"]
        return chunk

    async def expect_bytes(self, count: int) -> bytes:
        """Take exactly so many bytes of the response body; the rest of a chunk is left."""
        taken = b""
        while len(taken) < count:
            message = await self._message_with_bytes(f"{count} bytes, of which {len(taken)} came")
            taken += message["body"]
            if len(taken) > count:
                self._sending.unread.appendleft({**message, "body": taken[count:]})
        return taken[:count]

    async def expect_end(self) -> None:
        """Wait for the response to be complete, with no more bytes in it."""
        message = await self._next_bytes("the end of the response")
        if message is not None:
            raise AssertionError(f"expected the end, got more bytes: {self._account()}")

    async def until_sent(self, count: int) -> None:
        """Wait until so many messages have been sent in all."""
        await self._until(f"{count} messages", lambda: len(self.sent) >= count)

    async def until_receiving(self) -> None:
        """Wait until the app has taken everything and is parked in receive()."""
        await self._until("a parked receive()", lambda: self._receiving.parked)

    async def until_sending(self) -> None:
        """Wait until the app is parked in send()."""
        await self._until("a parked send()", lambda: self._sending.parked)

    # Inside.

    def _has_ended(self) -> bool:
        return self._task.ended

    async def _next_bytes(self, what: str) -> Message | None:
        """Take the next message with body bytes; None if the response is complete without it."""
        while True:
            await self._until(what, lambda: bool(self._sending.unread) or self.complete)
            if not self._sending.unread:
                return None
            message = self._sending.unread.popleft()
            if message.get("body"):
                return message

    async def _message_with_bytes(self, what: str) -> Message:
        message = await self._next_bytes(what)
        if message is None:
            raise AssertionError(
                f"expected {what}, but the response is complete: {self._account()}"
            )
        return message

    async def _until(self, what: str, holds: Callable[[], bool]) -> None:
        try:
            with anyio.fail_after(self.timeout):
                await self._changes.until(lambda: holds() or self._has_ended())
        except TimeoutError:
            late = f"waited {self.timeout} s for {what}, but {self._account()}"
            raise AssertionError(late) from None
        if not holds():
            self._raise_missing(what)

    def _raise_missing(self, what: str) -> NoReturn:
        exception = self._task.take_exception()
        if exception is None:
            raise AssertionError(f"expected {what}, but {self._account()}")
        exception.add_note(f"raised when the test expected {what}: {self._account()}")
        raise exception
