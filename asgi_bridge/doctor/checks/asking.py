"""What every check is given to ask with."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from ..clients.base import Connection, rest
from ..outcomes import Finding


class Asking(Protocol):
    """One application on one server, while one check runs."""

    async def connect(self) -> Connection:
        """A new connection, which is closed when the check is over."""

    def new_key(self) -> str:
        """A key for a note that nobody else uses."""


Ask = Callable[[Asking], Awaitable[Finding]]


async def get(connection: Connection, path: str) -> tuple[int, bytes]:
    """A whole GET: status and body."""
    exchange = await connection.request("GET", path)
    return await exchange.head(), await rest(exchange)


async def noted(asking: Asking, key: str) -> str:
    """What the application has noted under a key, once it has."""
    _, text = await get(await asking.connect(), f"/note?key={key}")
    return text.decode()
