"""What else applications rely on."""

import asyncio
import base64
import os
import time
from typing import cast

from ..clients.base import exactly
from ..clients.h1 import H1Connection
from ..outcomes import OK, Finding, Outcome, expect, found
from .asking import Ask, Asking, get, next_is_its_own

# Turns that another task has while 500 messages are sent: one in a hundred. Out of the air.
TURNS = 5

# Seconds that three small messages may take. They take some milliseconds.
AT_ONCE = 1.0


async def others_run(asking: Asking) -> Finding:
    _, body = await get(await asking.connect(), "/beside")
    turns = int(body.strip(b".") or 0)
    if turns >= TURNS:
        return OK
    return found(Outcome.MISSED, f"another task ran {turns} times while 500 messages were sent")


async def ends_at_once(asking: Asking) -> Finding:
    connection = await asking.connect()
    began = time.monotonic()
    await get(connection, "/three")
    seconds = time.monotonic() - began
    return OK if seconds < AT_ONCE else found(Outcome.HANG, f"it ended after {seconds:.1f} s")


async def version(asking: Asking) -> Finding:
    _, body = await get(await asking.connect(), "/version")
    seen = body.decode()
    return OK if seen >= "2.4" and seen != "none" else expect(seen, "2.4", Outcome.MISSED)


async def lifespan(asking: Asking) -> Finding:
    _, body = await get(await asking.connect(), "/lifespan")
    if not body:
        return found(Outcome.NOT_OFFERED, "the server runs no lifespan")
    return OK if body == b"started state" else found(Outcome.MISSED, f"seen: {body.decode()}")


def no_body_for_head(app: str) -> Ask:
    """A check that a HEAD has no body, and the next answer on its connection is its own."""

    async def ask(asking: Asking) -> Finding:
        connection = await asking.connect()
        exchange = await connection.request("HEAD", f"/{app}")
        status = await exchange.head()
        body = await exactly(exchange, 1)
        if (status, body) != (200, b""):
            return expect((status, body), (200, b""))
        return await next_is_its_own(connection)

    return ask


async def websocket(asking: Asking) -> Finding:
    """One text there and back, over a handshake and two frames by hand."""
    connection = cast(H1Connection, await asking.connect())
    key = base64.b64encode(os.urandom(16)).decode()
    exchange = await connection.request(
        "GET",
        "/",
        headers=[
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", key),
        ],
    )
    head = (await connection.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    del exchange
    if " 101 " not in head.partition("\r\n")[0]:
        return found(Outcome.NOT_OFFERED, head.partition("\r\n")[0])
    mask, text = os.urandom(4), b"there and back"
    masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(text))
    await connection.write(bytes([0x81, 0x80 | len(text)]) + mask + masked)
    async with asyncio.timeout(2):
        frame = await connection.reader.readexactly(2 + len(text))
    return expect(frame[2:], text.upper(), Outcome.LOST)
