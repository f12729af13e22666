"""An application that fails: does the client learn of it, and of nothing else?"""

from ..clients.base import Broken, Exchange, rest
from ..outcomes import OK, Finding, Outcome, expect, found
from .asking import Ask, Asking, get, next_is_its_own
from .early import finish_sibling, start_sibling


def status_of(app: str, method: str, status: int) -> Ask:
    """A check that a request is answered with a status, and the connection can be used again."""

    async def ask(asking: Asking) -> Finding:
        connection = await asking.connect()
        exchange = await connection.request(method, f"/{app}")
        seen = await exchange.head()
        try:
            await rest(exchange)
        except Broken as error:
            return found(Outcome.BROKEN, f"{seen}, then {error}")
        if seen != status:
            return expect(seen, status)
        return OK if status >= 500 else expect(await get(connection, "/hello"), (200, b"hello"))

    return ask


def breaks(app: str, method: str = "GET", *, alone: bool = False) -> Ask:
    """A check that a failure after the first byte breaks the answer, and nothing beside it.

    Args:
        app: which of the applications; it fails.
        method: a PUT has an empty body.
        alone: nothing is asked for beside it. The clients of h2 and aioquic end the whole
            connection when a body is shorter than its content-length; others the stream alone.
    """

    async def ask(asking: Asking) -> Finding:
        connection = await asking.connect()
        multiplexed = connection.multiplexed and not alone
        sibling = await start_sibling(connection) if multiplexed else None
        exchange = await connection.request(method, f"/{app}")
        if method == "PUT":
            await exchange.end()
        seen = await what_came(exchange)
        if seen is not None:
            return found(Outcome.FALSE_END, f"a whole answer: {seen!r}")
        if sibling is None:
            return OK
        try:
            await finish_sibling(sibling)
        except Broken as error:
            return found(Outcome.BROKEN, str(error))
        return OK

    return ask


async def what_came(exchange: Exchange) -> tuple[int, bytes] | None:
    """A whole answer, or None for one that broke, before or in its body."""
    try:
        return await exchange.head(), await rest(exchange)
    except Broken:
        return None


def wrong_length(app: str) -> Ask:
    """A check that a body that is not as long as declared is an error, and no other answer's."""

    async def ask(asking: Asking) -> Finding:
        connection = await asking.connect()
        exchange = await connection.request("GET", f"/{app}")
        seen = await what_came(exchange)
        if seen is None or seen[0] == 500:
            return OK
        declared = int(exchange.headers.get("content-length", len(seen[1])))
        if len(seen[1]) != declared:
            return found(Outcome.FALSE_END, f"a whole answer: {seen!r}")
        try:
            return await next_is_its_own(connection)
        except Broken:
            return OK  # nobody can take anything for another answer where there is none

    return ask
