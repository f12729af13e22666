"""What a stream of HTTP/2 and one of HTTP/3 have in common: what has come waits to be read."""

import asyncio

from .base import Broken

# A head, a chunk, b"" for the end, or the way in which the stream broke.
Item = tuple[int, dict[str, str]] | bytes | Broken


class Incoming:
    """The response's side of one stream."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.broken: Broken | None = None
        self._items: asyncio.Queue[Item] = asyncio.Queue()

    def put(self, item: Item) -> None:
        self._items.put_nowait(item)

    def break_with(self, broken: Broken) -> None:
        """The stream is over; what came before is still read first."""
        if self.broken is None:
            self.broken = broken
            self._items.put_nowait(broken)

    def check(self) -> None:
        """
        Raises:
            Broken: the stream is over.
        """
        if self.broken is not None:
            raise Broken(str(self.broken))

    async def continued(self) -> bool:
        raise NotImplementedError("only HTTP/1.1 has a 100 here")

    async def head(self) -> int:
        item = await self._next()
        if not isinstance(item, tuple):
            raise Broken("a body without a head")
        status, self.headers = item
        return status

    async def read(self) -> bytes:
        item = await self._next()
        if isinstance(item, tuple):
            raise Broken("a second head")
        return item

    async def _next(self) -> tuple[int, dict[str, str]] | bytes:
        item = await self._items.get()
        if isinstance(item, Broken):
            self._items.put_nowait(item)  # for whoever asks again
            raise Broken(str(item))
        return item
