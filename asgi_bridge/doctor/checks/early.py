"""An answer before the upload is over, and the 100-continue."""

import asyncio

from ..clients.base import Broken, Connection, Exchange, exactly, rest
from ..outcomes import OK, Finding, Outcome, expect, found
from .asking import Ask, Asking, get

# 1.5 MB over half a second: the application answers in the middle of it. A stream of many gets a
# quarter, above every window: clients and servers of HTTP/2 and HTTP/3 are slow, and on a machine
# that is busy the rest would take longer than a bridge drains.
BLOCKS = 48
BLOCK = b"x" * 32 * 1024
SMALL_BLOCK = b"x" * 8 * 1024
PAUSE = 0.01


async def upload(exchange: Exchange, block: bytes) -> str:
    """Send it all, whatever is answered; return what stopped that."""
    try:
        for _ in range(BLOCKS):
            await exchange.send(block)
            await asyncio.sleep(PAUSE)
        await exchange.end()
    except Broken as error:
        return str(error)
    return ""


def early_answer(app: str, status: int) -> Ask:
    """A check that an answer in the middle of an upload comes, and leaves the connection alive.

    After a failure a server may close a connection that is of no use to anybody else, but not
    before the client has sent its request: most clients do that first, and would not see why.
    """

    async def ask(asking: Asking) -> Finding:
        connection = await asking.connect()
        sibling = await start_sibling(connection) if connection.multiplexed else None
        exchange = await connection.request("PUT", f"/{app}")
        block = SMALL_BLOCK if connection.multiplexed else BLOCK
        uploading = asyncio.create_task(upload(exchange, block))
        try:
            answer = await exchange.head()
            await rest(exchange)
            stopped = await uploading
        finally:
            uploading.cancel()
        if answer != status:
            return expect(answer, status)
        if status >= 500 and sibling is None:
            return found(Outcome.BROKEN, f"in the upload: {stopped}") if stopped else OK
        try:
            if sibling is not None:
                await finish_sibling(sibling)
            return expect(await get(connection, "/hello"), (200, b"hello"), Outcome.DESYNC)
        except Broken as error:
            return found(Outcome.BROKEN, f"answered, then: {error} {stopped}".strip())

    return ask


async def start_sibling(connection: Connection) -> Exchange:
    """Another stream on the connection, half way through."""
    sibling = await connection.request("PUT", "/echo")
    await sibling.send(b"one")
    await sibling.head()
    await exactly(sibling, 3)
    return sibling


async def finish_sibling(sibling: Exchange) -> None:
    """
    Raises:
        Broken: it did not survive.
    """
    try:
        await sibling.send(b"two")
        await exactly(sibling, 3)
        await sibling.end()
        await rest(sibling)
    except Broken as error:
        raise Broken(f"the other stream: {error}") from error


async def invited(asking: Asking) -> Finding:
    """A client that waits for its 100 before it sends; the app answers before it reads."""
    connection = await asking.connect()
    exchange = await connection.request(
        "PUT", "/answer_then_read", length=10, headers=[("expect", "100-continue")]
    )
    if not await exchange.continued():
        return found(Outcome.MISSED, "no 100: a strict client never sends its body")
    await exchange.send(b"0123456789")
    await exchange.end()
    await exchange.head()
    return expect(await rest(exchange), b"ready0123456789", Outcome.LOST)


async def not_invited(asking: Asking) -> Finding:
    """The app refuses without reading: the body must not be asked for."""
    connection = await asking.connect()
    exchange = await connection.request(
        "PUT", "/refuse", length=10_000_000, headers=[("expect", "100-continue")]
    )
    if await exchange.continued():
        return found(Outcome.WRONG, "asked for the body of a request that is refused")
    status = await exchange.head()
    await rest(exchange)
    return OK if status == 403 else expect(status, 403)
