"""A client that goes away: who is told, and is what it has sent still read?"""

import asyncio

from ..clients.base import exactly
from ..outcomes import Finding, Outcome, expect
from .asking import Asking, noted

RAISED = "send raised an OSError"
PART = b"y" * 20_000


async def send_raises(asking: Asking) -> Finding:
    """An application that was told of the disconnect sends: ASGI 2.4 has that raise."""
    key = asking.new_key()
    connection = await asking.connect()
    exchange = await connection.request("GET", f"/listening_ticking?key={key}")
    await exchange.head()
    await exactly(exchange, 4)
    await exchange.leave()
    return expect(await noted(asking, key), RAISED, Outcome.MISSED)


async def noticed_while_streaming(asking: Asking) -> Finding:
    """An application that only sends."""
    key = asking.new_key()
    connection = await asking.connect()
    exchange = await connection.request("GET", f"/ticking?key={key}")
    await exchange.head()
    await exactly(exchange, 8)
    await exchange.leave()
    return expect(await noted(asking, key), RAISED, Outcome.MISSED)


async def noticed_in_upload(asking: Asking) -> Finding:
    """An application that sends while its request's body is not over."""
    key = asking.new_key()
    connection = await asking.connect()
    exchange = await connection.request("PUT", f"/ticking?key={key}")
    await exchange.send(b"some")
    await exchange.head()
    await exactly(exchange, 8)
    await exchange.leave()
    return expect(await noted(asking, key), RAISED, Outcome.MISSED)


async def cut_upload(asking: Asking) -> Finding:
    """A client leaves in the middle of its upload: a disconnect, and no end."""
    key = asking.new_key()
    connection = await asking.connect()
    exchange = await connection.request("PUT", f"/note_upload?key={key}", length=1_000_000)
    await exchange.send(PART)
    await exchange.head()
    await exactly(exchange, 7)
    await exchange.leave()
    note = await noted(asking, key)
    return expect(note.rpartition(", ")[2], "disconnect", Outcome.FALSE_END)


async def tail(asking: Asking) -> Finding:
    """A client sends all of its body and leaves: all of it was sent, so all of it is read."""
    key = asking.new_key()
    connection = await asking.connect()
    exchange = await connection.request("PUT", f"/note_upload?key={key}", length=2 * len(PART))
    await exchange.send(PART)
    await exchange.head()
    await exactly(exchange, 7)
    await exchange.send(PART)
    await exchange.end()
    # A reset stream may overtake what was sent before it.
    await asyncio.sleep(0.1)
    await exchange.leave()
    return expect(await noted(asking, key), f"{2 * len(PART)} bytes, the end", Outcome.LOST)
