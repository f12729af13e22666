# A buffered transform wants its object whole.
#
# Rule 1: a body that does not come in one message grows in one buffer, where joining its chunks
#         would hold it twice.
# Rule 2: objects beyond SMALL that are read, or wait for their turn, are few (`Room`). The others
#         are not read yet, so that a crowd of large objects waits in its connections.
"""Whole objects: from a request's body, from a file, from another host; and room for them."""

import io
import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Final

import anyio
import anyio.to_thread
from anyio.lowlevel import current_token

from asgi_bridge import ClientDisconnected

from .asgi import Message, Receive, Scope, announces_body
from .errors import Refused

SMALL: Final = 1024 * 1024  # bytes
# As many as there are threads for streaming transforms.
LARGE_AT_ONCE: Final = 64
# How often it is asked whether a body has become large, and when the last part came.
PARTS_PER_LOOK: Final = 8
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


class Growing:
    """An object that comes in parts; a large one takes a place.

    Args:
        room: where the places are.
        stack: ends when the object is no longer held.
    """

    def __init__(self, room: Room, stack: AsyncExitStack) -> None:
        self._room = room
        self._stack = stack
        self._buffer = io.BytesIO()
        self._small = True
        self.add = self._buffer.write

    async def make_room(self) -> None:
        """Wait for a place, if the object has become large."""
        if self._small and self._buffer.tell() > SMALL:
            self._small = False
            await self._room.take(self._stack)

    def whole(self) -> bytes:
        """What has come, without a copy."""
        return self._buffer.getvalue()


async def whole_body(
    message: Message, receive: Receive, room: Room, stack: AsyncExitStack, patience: float
) -> bytes:
    """A request's body.

    Args:
        message: with its first part.
        room: for a large one.
        stack: ends when the object is no longer held.
        patience: seconds that may pass between two parts, or some more.

    Raises:
        ClientDisconnected: the caller left before the end.
        Refused: nothing came for too long, status 408.
    """
    growing, count = Growing(room, stack), 0
    with anyio.move_on_after(patience) as scope:
        while message["type"] != DISCONNECT:
            growing.add(message.get("body", b""))
            if not message.get("more_body"):
                return growing.whole()
            if not count % PARTS_PER_LOOK:
                scope.deadline = math.inf
                await growing.make_room()
                scope.deadline = anyio.current_time() + patience
            count += 1
            message = await receive()
        raise ClientDisconnected("the caller left before it had sent the object")
    raise Refused(408, f"nothing of the object came for {patience:.0f} s")


async def whole_of(parts: AsyncIterator[bytes], room: Room, stack: AsyncExitStack) -> bytes:
    """An object from another host; for the last two, see `whole_body`."""
    growing = Growing(room, stack)
    async for part in parts:
        growing.add(part)
        await growing.make_room()
    return growing.whole()


async def discard_body(scope: Scope, receive: Receive) -> None:
    """Take in a body that nobody wants, where the request has one."""
    if not announces_body(scope):
        return
    while (message := await receive())["type"] != DISCONNECT and message.get("more_body"):
        pass
