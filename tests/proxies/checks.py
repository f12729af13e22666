"""What is asked of a server through a proxy: of every pair, in the order of the table."""

import asyncio
import functools
import random
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from asgi_bridge.doctor.clients.base import BLOCK, Broken, exactly, rest
from asgi_bridge.doctor.clients.h1 import H1Connection, H1Exchange
from asgi_bridge.doctor.outcomes import OK, Finding, Outcome, expect, found, intact

from ..faults.census import census
from .processes import Front

MIB: Final = 1024 * 1024

# How long a check may take, seconds. Most take less than one; 50 MB take one to three.
LIMIT: Final = 20.0
# Where it is known for a hang.
HOPELESS: Final = 2.0

# What somebody in lock-step may wait for the first answer and, in the middle, for a later one.
FIRST: Final = 0.5
LATER: Final = 0.1
STEPS: Final = 8
# A machine that is busy with something else is late at times, but not each time.
TRIES: Final = 3

# What a worker's memory may grow by while 50 or 200 MB wait for a client. The bridge holds at most
# 2 MiB each way and the servers less; the rest is what an allocator keeps. 2 to 12 MiB were seen.
GROWTH: Final = 24 * MIB
LOOK: Final = 0.02  # seconds between two looks at it
PAUSE: Final = 1.0  # seconds that the client does not read; all buffers on the way are full by then
# Seconds that a client does not send in the middle of its body: longer than `Limits.stall_timeout`.
SILENCE: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much is sent.

    Attributes:
        echo: bytes of a body that comes back.
        download: bytes of one that a client reads slowly.
    """

    echo: int
    download: int


FULL: Final = Load(echo=50_000_000, download=200 * MIB)
# Above what nginx passes on by luck when an answer has begun before its request is over.
SMALL: Final = Load(echo=20_000_000, download=20 * MIB)

REFUSED: Final = 8_000_000  # bytes of an upload that nobody wants


class Asking:
    """One check, while it runs: what is asked, and connections that are closed at its end."""

    def __init__(self, front: Front, load: Load, open_connections: AsyncExitStack) -> None:
        self.front = front
        self.load = load
        self.key = uuid.uuid4().hex
        self._open = open_connections

    async def connect(self) -> H1Connection:
        """A new connection to the proxy."""
        return await self._to(self.front.port)

    async def told(self, path: str) -> str:
        """What the server says of this check's key; not through the proxy."""
        connection = await self._to(self.front.server.port)
        exchange = await connection.request("GET", f"/{path}?key={self.key}")
        assert await exchange.head() == 200
        return (await rest(exchange)).decode()

    async def _to(self, port: int) -> H1Connection:
        connection = await H1Connection.open(port)
        self._open.push_async_callback(cut, connection)
        return connection


async def cut(connection: H1Connection) -> None:
    """Close a connection, and do not wait until what is written has gone."""
    connection.writer.transport.abort()
    await connection.close()


Ask = Callable[[Asking], Awaitable[Finding]]


@dataclass(frozen=True, slots=True)
class Check:
    """One question.

    Attributes:
        title: what it is about, for the table.
        ask: asks it.
    """

    title: str
    ask: Ask


@functools.cache
def body_of(size: int) -> bytes:
    """A body in which no part is like another; the same each time."""
    return random.Random(size).randbytes(size)


async def upload(exchange: H1Exchange, body: bytes) -> None:
    """Send a body and its end."""
    for position in range(0, len(body), BLOCK):
        await exchange.send(body[position : position + BLOCK])
    await exchange.end()


async def answer(exchange: H1Exchange) -> tuple[int, bytes]:
    """A whole response: its status and its body."""
    return await exchange.head(), await rest(exchange)


def echo_reading(app: str) -> Ask:
    """A check that a body comes back whole to a client that reads while it writes."""

    async def ask(asking: Asking) -> Finding:
        body = body_of(asking.load.echo)
        exchange = await (await asking.connect()).request("PUT", f"/{app}/")
        _, (status, seen) = await asyncio.gather(upload(exchange, body), answer(exchange))
        return intact(seen, body) if status == 200 else expect(status, 200)

    return ask


def echo_writing_first(app: str) -> Ask:
    """A check that a body comes back whole to a client that reads nothing before all is written."""

    async def ask(asking: Asking) -> Finding:
        body = body_of(asking.load.echo)
        connection = await asking.connect()
        transport = connection.writer.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        exchange = await connection.request("PUT", f"/{app}/", length=len(body))
        await upload(exchange, body)
        transport.resume_reading()
        status, seen = await answer(exchange)
        return intact(seen, body) if status == 200 else expect(status, 200)

    return ask


async def echo_paused(asking: Asking) -> Finding:
    """A client stops sending for a while, and then sends the rest; it reads meanwhile."""
    body = body_of(asking.load.echo)
    exchange = await (await asking.connect()).request("PUT", "/echo")

    async def send() -> None:
        await exchange.send(body[:BLOCK])
        await asyncio.sleep(SILENCE)
        await upload(exchange, body[BLOCK:])

    _, (status, seen) = await asyncio.gather(send(), answer(exchange))
    return intact(seen, body) if status == 200 else expect(status, 200)


def lock_step(app: str) -> Ask:
    """A check that each chunk is answered before the next one is sent, and in time."""

    async def ask(asking: Asking) -> Finding:
        for _ in range(TRIES):
            first, later = await stepped(await asking.connect(), app)
            if first <= FIRST and later <= LATER:
                break
        waits = f"{first * 1000:.0f} ms for the first answer, {later * 1000:.1f} ms for a later one"
        late = first > FIRST or later > LATER
        return Finding(Outcome.MISSED if late else Outcome.OK, waits)

    return ask


async def stepped(connection: H1Connection, app: str) -> tuple[float, float]:
    """How many seconds the first answer has taken, and a later one in the middle."""
    exchange = await connection.request("PUT", f"/{app}/")
    waits = []
    for number in range(STEPS):
        chunk = b"chunk %d" % number
        began = time.monotonic()
        await exchange.send(chunk)
        if number == 0:
            await exchange.head()
        if await exactly(exchange, len(chunk)) != chunk:
            raise Broken("another chunk came")
        waits.append(time.monotonic() - began)
    await exchange.end()
    if await rest(exchange):
        raise Broken("more came than was sent")
    return waits[0], statistics.median(waits[1:])


async def refused(asking: Asking) -> Finding:
    """A client sends all of its body, and reads meanwhile: it sees why nobody wants it."""
    exchange = await (await asking.connect()).request("PUT", "/refusing", length=REFUSED)
    sending = asyncio.create_task(upload(exchange, body_of(REFUSED)))
    try:
        return expect(await exchange.head(), 401)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def refused_writing_first(asking: Asking) -> Finding:
    """A client sends all of its body before it reads: the answer is there."""
    exchange = await (await asking.connect()).request("PUT", "/refusing", length=REFUSED)
    await upload(exchange, body_of(REFUSED))
    return expect(await exchange.head(), 401)


def breaks(app: str) -> Ask:
    """A check that a failure after the first byte is none of a whole answer."""

    async def ask(asking: Asking) -> Finding:
        exchange = await (await asking.connect()).request("GET", f"/{app}")
        return await no_whole_answer(exchange)

    return ask


async def breaks_in_upload(asking: Asking) -> Finding:
    """The same while the client sends; one whose answer was held until then may get a 500."""
    exchange = await (await asking.connect()).request("PUT", "/breaking", length=REFUSED)
    sending = asyncio.create_task(upload(exchange, body_of(REFUSED)))
    try:
        return await no_whole_answer(exchange)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def no_whole_answer(exchange: H1Exchange) -> Finding:
    try:
        status, body = await answer(exchange)
    except Broken as error:
        return Finding(Outcome.OK, str(error))
    if status >= 500:
        return Finding(Outcome.OK, f"status {status}")
    return found(Outcome.FALSE_END, f"a whole answer: {status}, {body!r}")


# What an application may note when its client has left.
GONE: Final = ("ClientDisconnected", "GeneratorExit", "CancelledError", "http.disconnect")


def leaves(app: str, first: int) -> Ask:
    """A check that an application that answers meets the leaving of its client.

    Args:
        app: which.
        first: bytes that the client reads before it leaves.
    """

    async def ask(asking: Asking) -> Finding:
        exchange = await (await asking.connect()).request("GET", f"/{app}?key={asking.key}")
        await exchange.head()
        await exactly(exchange, first)
        return await met_after_leaving(exchange, asking)

    return ask


async def leaves_in_upload(asking: Asking) -> Finding:
    """A client leaves in its upload: a handler that has begun meets that, and no end."""
    path = f"/uploading?key={asking.key}"
    exchange = await (await asking.connect()).request("PUT", path, length=REFUSED)
    await exchange.send(body_of(REFUSED)[: 4 * BLOCK])
    if await asking.told("begun") == "no":
        await exchange.leave()
        if await asking.told("begun") == "no":
            return Finding(Outcome.OK, "the proxy kept the request, and the handler never began")
        return expect(await asking.told("met"), "ClientDisconnected", Outcome.MISSED)
    return await met_after_leaving(exchange, asking)


async def met_after_leaving(exchange: H1Exchange, asking: Asking) -> Finding:
    left = time.monotonic()
    await exchange.leave()
    met = await asking.told("met")
    if met not in GONE:
        return found(Outcome.MISSED, f"the application has met {met}")
    return Finding(Outcome.OK, f"after {time.monotonic() - left:.2f} s")


async def little_memory(asking: Asking) -> Finding:
    """A large body comes back while the worker holds little of it, wherever the rest waits."""
    async with watched(asking.front.server.pid) as growth:
        finding = await echo_writing_first("echo")(asking)
    grown = f"{growth() / MIB:+.1f} MiB"
    if finding.outcome is Outcome.OK:
        return Finding(Outcome.OK if growth() <= GROWTH else Outcome.WRONG, grown)
    return finding


async def slow_reader(asking: Asking) -> Finding:
    """A client that stops reading for a while: the worker does not hold what it has not read."""
    blocks = asking.load.download // BLOCK
    connection = await asking.connect()
    # The first one leaves an allocator with what it keeps.
    await exactly_blocks(connection, blocks // 10, 0)
    async with watched(asking.front.server.pid) as growth:
        count = await exactly_blocks(await asking.connect(), blocks, PAUSE)
    grown = f"{growth() / MIB:+.1f} MiB"
    if count != blocks * BLOCK:
        return found(Outcome.LOST, f"{count} of {blocks * BLOCK} bytes came")
    return Finding(Outcome.OK if growth() <= GROWTH else Outcome.WRONG, grown)


async def exactly_blocks(connection: H1Connection, blocks: int, pause: float) -> int:
    """Fetch so many blocks, with a pause after the first bytes; return how many bytes came."""
    exchange = await connection.request("GET", f"/download?blocks={blocks}")
    await exchange.head()
    count = len(await exchange.read())
    await asyncio.sleep(pause)
    while chunk := await exchange.read():
        count += len(chunk)
    return count


@asynccontextmanager
async def watched(pid: int) -> AsyncIterator[Callable[[], int]]:
    """Look at a process's memory, and those of its children; by how much has it grown at most?"""
    before = peak = census(pid).resident

    async def look() -> None:
        nonlocal peak
        while True:
            peak = max(peak, census(pid).resident)
            await asyncio.sleep(LOOK)

    looking = asyncio.create_task(look())
    try:
        yield lambda: peak - before
    finally:
        looking.cancel()


async def continued(asking: Asking) -> Finding:
    """A client waits for the 100 before it sends its body."""
    exchange = await (await asking.connect()).request(
        "PUT", "/echo", length=5, headers=[("expect", "100-continue")]
    )
    if not await exchange.continued():
        return found(Outcome.MISSED, "no 100 came before the answer")
    await upload(exchange, b"hello")
    return expect(await answer(exchange), (200, b"hello"))


async def reused(asking: Asking) -> Finding:
    """Two requests on one connection: each has its own answer."""
    connection = await asking.connect()
    for body in (body_of(1_000_000), b"the second"):
        exchange = await connection.request("PUT", "/echo", length=len(body))
        _, (status, seen) = await asyncio.gather(upload(exchange, body), answer(exchange))
        if (status, seen) != (200, body):
            return found(Outcome.DESYNC, f"{status}, {len(seen)} of {len(body)} bytes")
    return OK


# The path of each echo, and what it is to a reader.
ECHOES: Final[Mapping[str, tuple[str, str]]] = {
    "handler": ("echo", "`handler`"),
    "open-body": ("blocking", "`open_body`"),
    "stream": ("streaming", "`request.stream()`"),
}

CHECKS: Final[Mapping[str, Check]] = {
    # These come first: in a worker that has done much else, the allocator has memory to spare.
    "slow-reader": Check("slow reader of 200 MB: the worker's memory stays", slow_reader),
    "little-memory": Check("body of 50 MB streamed back: the worker's memory stays", little_memory),
    **{
        f"echo-{name}": Check(f"body streamed back by {title}", echo_reading(app))
        for name, (app, title) in ECHOES.items()
    },
    **{
        f"echo-first-{name}": Check(
            f"the same by {title}, client writes all, then reads", echo_writing_first(app)
        )
        for name, (app, title) in ECHOES.items()
    },
    "echo-paused": Check("the same, client pauses and then sends the rest", echo_paused),
    **{
        f"lock-step-{name}": Check(f"lock-step with {title}", lock_step(app))
        for name, (app, title) in ECHOES.items()
    },
    "refused": Check("401 to an upload that nobody reads", refused),
    "refused-first": Check("the same, client writes all, then reads", refused_writing_first),
    "breaks": Check("handler fails after its first byte: a broken answer", breaks("breaking")),
    "breaks-declared": Check("the same with a content-length", breaks("breaking_declared")),
    "breaks-in-upload": Check("the same while the upload runs: broken, or a 500", breaks_in_upload),
    "leaves": Check("client leaves a response that streams", leaves("ticking", 8)),
    "leaves-idle": Check("client leaves an event stream that is idle", leaves("idle", 9)),
    "leaves-upload": Check("client leaves in its upload", leaves_in_upload),
    "continue": Check("100-continue", continued),
    "reuse": Check("two requests on one connection", reused),
}


async def measured(front: Front, load: Load, names: Collection[str]) -> dict[str, Finding]:
    """Ask one after the other."""
    limits = front.configuration.limits
    return {
        name: await asked(check, front, load, HOPELESS if name in limits else LIMIT)
        for name, check in CHECKS.items()
        if name in names
    }


async def asked(check: Check, front: Front, load: Load, limit: float) -> Finding:
    """Ask one question in so many seconds; close what it has opened."""
    began = time.monotonic()
    async with AsyncExitStack() as connections:
        try:
            async with asyncio.timeout(limit):
                finding = await check.ask(Asking(front, load, connections))
        except TimeoutError:
            finding = found(Outcome.HANG, f"nothing more for {limit:g} s")
        except (Broken, OSError) as error:
            finding = found(Outcome.BROKEN, str(error))
    return replace(finding, seconds=round(time.monotonic() - began, 3))
