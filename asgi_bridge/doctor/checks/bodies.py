"""A request's body that comes back in the response: is it whole, whatever the client's pace?"""

import asyncio
from collections.abc import Callable, Sequence
from enum import Enum

from ..clients.base import BLOCK, Exchange, exactly, rest
from ..outcomes import Finding, intact
from .asking import Ask, Asking, get

# Small ones, each with bytes of its own; and 512 KB, above what servers buffer for one request.
FEW = [bytes([number]) * 10 for number in range(65, 70)]
LARGE = [bytes([number]) * BLOCK for number in range(65, 73)]
TINY = [b"%02d" % (number % 100) for number in range(200)]
PAUSE = 0.02


class Pace(Enum):
    """How a client sends its body."""

    SLOW = "with a pause before each chunk"
    FAST = "at once, reading meanwhile"
    LOCK_STEP = "a chunk only after the last one has come back"


async def send_slowly(exchange: Exchange, chunks: Sequence[bytes]) -> bytes:
    reading = asyncio.create_task(answer_of(exchange))
    for chunk in chunks:
        await asyncio.sleep(PAUSE)
        await exchange.send(chunk)
    await asyncio.sleep(PAUSE)
    await exchange.end()
    return await reading


async def send_fast(exchange: Exchange, chunks: Sequence[bytes]) -> bytes:
    reading = asyncio.create_task(answer_of(exchange))
    for chunk in chunks:
        await exchange.send(chunk)
    await exchange.end()
    return await reading


async def send_in_lock_step(exchange: Exchange, chunks: Sequence[bytes]) -> bytes:
    seen = b""
    for number, chunk in enumerate(chunks):
        await exchange.send(chunk)
        if number == 0:
            await exchange.head()
        seen += await exactly(exchange, len(chunk))
    await exchange.end()
    return seen + await rest(exchange)


SENDERS = {Pace.SLOW: send_slowly, Pace.FAST: send_fast, Pace.LOCK_STEP: send_in_lock_step}


async def answer_of(exchange: Exchange) -> bytes:
    await exchange.head()
    return await rest(exchange)


def comes_back(
    app: str, pace: Pace, *, declared: bool, chunks: Sequence[bytes] | None = None
) -> Ask:
    """A check that sends a body and has it sent back.

    Args:
        app: which of the applications; it echoes.
        pace: of the client.
        declared: with a content-length; else, in HTTP/1.1, chunked.
        chunks: what is sent; by the pace when left out.
    """
    sent = chunks or (LARGE if pace is Pace.FAST else FEW)

    async def ask(asking: Asking) -> Finding:
        connection = await asking.connect()
        due = b"".join(sent)
        length = len(due) if declared else None
        exchange = await connection.request("PUT", f"/{app}", length=length)
        return intact(await SENDERS[pace](exchange, sent), due)

    return ask


def comes_down(app: str, make: Callable[[], bytes]) -> Ask:
    """A check that fetches a body whose content is known."""

    async def ask(asking: Asking) -> Finding:
        _, body = await get(await asking.connect(), f"/{app}")
        return intact(body, make())

    return ask
