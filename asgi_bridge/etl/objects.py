# A buffered transform wants its object whole.
#
# Rule 1: a body that does not come in one message grows in one buffer, where joining its chunks
#         would hold it twice.
# Rule 2: objects beyond SMALL that are read, or wait for their turn, are few (`Room`). The others
#         are not read yet, so that a crowd of large objects waits in its connections.
"""Whole objects: from a request's body, from a file, from another host; and room for them."""

import io
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Final

import anyio
import anyio.to_thread
from anyio.lowlevel import current_token

from asgi_bridge import ClientDisconnected

from .asgi import Receive, Scope, announces_body
from .errors import Refused

SMALL: Final = 1024 * 1024  # bytes
# As many as there are threads for streaming transforms.
LARGE_AT_ONCE: Final = 64
DISCONNECT: Final = "http.disconnect"


class Room:
    """Places for the large objects that are in memory, and for the files that are read.

    One for all event loops that a server runs on, one after the other.
    """

    def __init__(self) -> None:
        self._token: object = None
        self._places: anyio.Semaphore | None = None
        self._readers: anyio.CapacityLimiter | None = None

    def _here(self) -> tuple[anyio.Semaphore, anyio.CapacityLimiter]:
        token = current_token()
        if self._token != token or self._places is None or self._readers is None:
            self._token = token
            self._places = anyio.Semaphore(LARGE_AT_ONCE, fast_acquire=True)
            self._readers = anyio.CapacityLimiter(LARGE_AT_ONCE)
        return self._places, self._readers

    async def take(self, stack: AsyncExitStack) -> None:
        """Take a place until the stack ends; wait for one."""
        places, _ = self._here()
        await stack.enter_async_context(places)

    async def on_a_thread(self, function: Any, *arguments: object) -> Any:
        """Call a function that reads a file."""
        _, readers = self._here()
        return await anyio.to_thread.run_sync(
            function, *arguments, abandon_on_cancel=True, limiter=readers
        )


async def parts_of(message: Any, receive: Receive, patience: float) -> AsyncIterator[bytes]:
    """A request's body, part by part.

    Args:
        message: with the first of them.
        patience: seconds that may pass between two parts.

    Raises:
        ClientDisconnected: the caller left before the end.
        Refused: nothing came for too long, status 408.
    """
    while True:
        if message["type"] == DISCONNECT:
            raise ClientDisconnected("the caller left before it had sent the object")
        yield message.get("body", b"")
        if not message.get("more_body"):
            return
        try:
            with anyio.fail_after(patience):
                message = await receive()
        except TimeoutError:
            raise Refused(408, f"nothing of the object came for {patience:.0f} s") from None


async def whole(parts: AsyncIterator[bytes], room: Room, stack: AsyncExitStack) -> bytes:
    """An object of its parts, held once; a large one in a place of its own."""
    buffer = io.BytesIO()
    has_place = False
    async for part in parts:
        if not has_place and buffer.tell() + len(part) > SMALL:
            await room.take(stack)
            has_place = True
        buffer.write(part)
    return buffer.getvalue()


async def discard_body(scope: Scope, receive: Receive) -> None:
    """Take in a body that nobody wants, where the request has one."""
    if not announces_body(scope):
        return
    while (message := await receive())["type"] != DISCONNECT and message.get("more_body"):
        pass
