"""What every check is given to ask with."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from ..clients.base import Connection, Garbled, rest
from ..outcomes import Finding, Outcome, expect, found


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


async def next_is_its_own(connection: Connection) -> Finding:
    """Ask for something else on a connection: it must not get the end of what came before it.

    Where the connection is closed that is `Broken`.
    """
    try:
        return expect(await get(connection, "/hello"), (200, b"hello"), Outcome.DESYNC)
    except Garbled as error:
        return found(Outcome.DESYNC, str(error))


async def noted(asking: Asking, key: str) -> str:
    """What the application has noted under a key, once it has."""
    _, text = await get(await asking.connect(), f"/note?key={key}")
    return text.decode()
