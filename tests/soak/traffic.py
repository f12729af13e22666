# What the clients of a soak do. Each kind knows its right answer; all are drawn at random.
#
# Rule 1: an answer is wrong if its bytes are not the beginning of the right one, if it ends cleanly
#         before that does, or if it has a status that nobody was promised.
# Rule 2: a harmless call that did not come whole is a failure, though no wrong answer; it counts
#         against the soak as well.
"""The calls of a soak, and what is right for each."""

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from ..faults.apps import CYCLE
from ..faults.link import Do, Fault, Way, link
from ..faults.peer import Call, Delivery, End, Order, call, wrong

CHUNK: Final = bytes(range(97, 123)) * 630  # 16 KiB
LIMIT: Final = 60.0  # seconds for any call


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said of one call.

    Attributes:
        wrong: what is wrong with the answer; empty if nothing is.
        failed: what did not come that was owed; likewise.
        bytes: how many came and went.
    """

    wrong: str
    failed: str
    bytes: int


Kind = Callable[[int, random.Random], Awaitable[Verdict]]


def verdict(what: Call, right: bytes, delivery: Delivery, *statuses: int) -> Verdict:
    """Judge a delivery: whole, or with one of the other statuses that it may have."""
    sent = sum(map(len, what.chunks))
    said = wrong(delivery, right)
    if delivery.status is not None and delivery.status not in (200, *statuses):
        said = f"status {delivery.status}"
    whole = delivery.end is End.CLEAN and delivery.status in (statuses or (200,))
    failed = "" if whole else f"{delivery.status}, {delivery.end.value}"
    return Verdict(said, failed, sent + len(delivery.body))


def chunks_of(dice: random.Random, most: int) -> tuple[bytes, ...]:
    return (CHUNK,) * dice.randint(1, most)


def harmless(path: str, order: Order, most: int, *, upper: bool = True) -> Kind:
    """A body that is answered with itself, whole."""

    async def kind(port: int, dice: random.Random) -> Verdict:
        chunks = chunks_of(dice, most)
        what = Call(path=path, chunks=chunks, order=order, declared=dice.random() < 0.5)
        right = b"".join(chunks)
        what = bounded(what)
        return verdict(what, right.upper() if upper else right, await call(port, what))

    return kind


def faulty(path: str, *, upper: bool = True) -> Kind:
    """The same through a network that fails somewhere, in some way."""

    async def kind(port: int, dice: random.Random) -> Verdict:
        chunks = chunks_of(dice, 40)
        right = b"".join(chunks)
        way = dice.choice(list(Way))
        do = dice.choice([Do.STALL, Do.END, Do.CUT, Do.RESET])
        fault = Fault(way, do, dice.randrange(len(right) + 500), seconds=dice.choice([0.1, 8.0]))
        what = Call(path=path, chunks=chunks, limit=10.0)
        async with link(port, [fault]) as linked:
            delivery = await call(linked, what)
        judged = verdict(what, right.upper() if upper else right, delivery, 400, 408, 500)
        # It owes nothing. Starlette makes a 500 of what a sync endpoint meets in a read.
        return Verdict(judged.wrong, "", judged.bytes)

    return kind


def bent(do: Do) -> Kind:
    """The same through a network that is slow, or cuts small, and loses nothing."""

    async def kind(port: int, dice: random.Random) -> Verdict:
        chunks = chunks_of(dice, 10)
        right = b"".join(chunks).upper()
        fault = Fault(dice.choice(list(Way)), do, dice.randrange(9000), seconds=0.002, count=1500)
        what = bounded(Call(path="/upper", chunks=chunks))
        async with link(port, [fault]) as linked:
            return verdict(what, right, await call(linked, what))

    return kind


async def digest(port: int, dice: random.Random) -> Verdict:
    chunks = chunks_of(dice, 400)
    what = bounded(Call(path="/digest", chunks=chunks, declared=True))
    right = hashlib.sha256(b"".join(chunks)).hexdigest().encode()
    return verdict(what, right, await call(port, what))


async def download(port: int, dice: random.Random) -> Verdict:
    """An answer to a request without a body.

    Not with an empty chunked one: granian resets some connections then, with any application that
    has a receive() under way while it sends.
    """
    blocks = dice.randint(1, 400)
    what = Call(path=f"/download?{blocks}", declared=True, pace=dice.choice([0, 0.001]))
    what = bounded(what)
    return verdict(what, CYCLE * blocks, await call(port, what))


def raising(most: int) -> Kind:
    """An answer that has no end; a clean one would be wrong, and so would be none at all.

    Args:
        most: chunks that are uploaded meanwhile, which nobody reads.
    """

    async def kind(port: int, dice: random.Random) -> Verdict:
        blocks = dice.randint(1, 200)
        chunks = (CHUNK,) * dice.randint(min(1, most), most)
        order = dice.choice([Order.DUPLEX, Order.WRITE_FIRST])
        declared = not chunks or dice.random() < 0.5  # see download
        what = Call(path=f"/raising?{blocks}", chunks=chunks, declared=declared, order=order)
        what = bounded(what)
        delivery = await call(port, what)
        judged = verdict(what, CYCLE * blocks + b"never", delivery)
        unheard = "never heard of the failure" if delivery.end is End.NEVER else ""
        return Verdict(judged.wrong, unheard, judged.bytes)

    return kind


async def tiny(port: int, dice: random.Random) -> Verdict:
    chunks = tuple(b"%c" % dice.randint(97, 122) for _ in range(500))
    what = bounded(Call(path="/upper", chunks=chunks))
    return verdict(what, b"".join(chunks).upper(), await call(port, what))


async def too_long(port: int, dice: random.Random) -> Verdict:
    what = bounded(Call(path="/limited", chunks=(CHUNK,) * 12, declared=dice.random() < 0.5))
    return verdict(what, b"", await call(port, what), 413)


async def crowd(port: int, dice: random.Random) -> Verdict:
    """More at once than two workers and a backlog of two take."""
    what = bounded(Call(path="/busy?20", declared=True))
    deliveries = await asyncio.gather(*(call(port, what) for _ in range(8)))
    judged = [verdict(what, b"done", each, 200, 503) for each in deliveries]
    return Verdict(
        next((each.wrong for each in judged if each.wrong), ""),
        next((each.failed for each in judged if each.failed), ""),
        sum(each.bytes for each in judged),
    )


def bounded(what: Call) -> Call:
    return replace(what, limit=LIMIT)


# 12 MiB at most where the client writes all before it reads: past what sockets and servers hold.
KINDS: Final[Mapping[str, Kind]] = {
    "upload": digest,
    "download": download,
    "duplex": harmless("/upper", Order.DUPLEX, 200),
    "duplex, async app": harmless("/bridged/echo", Order.DUPLEX, 60, upper=False),
    "duplex, sync endpoint": harmless("/bridged/sync", Order.DUPLEX, 60),
    "lock-step": harmless("/upper", Order.LOCK_STEP, 20),
    "write first": harmless("/upper", Order.WRITE_FIRST, 800),
    "tiny chunks": tiny,
    "faults": faulty("/upper"),
    "faults, async app": faulty("/bridged/echo", upper=False),
    "faults, sync endpoint": faulty("/bridged/sync"),
    "one-byte segments": bent(Do.SPLIT),
    "late segments": bent(Do.DELAY),
    "no end": raising(0),
    "no end, while it uploads": raising(400),
    "too long (413)": too_long,
    "crowd (503)": crowd,
}
