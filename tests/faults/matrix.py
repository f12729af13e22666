"""The cells: what is asked for, what goes wrong with it and where."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Final

from .apps import CYCLE
from .link import Do, Fault, Way
from .peer import Call

CHUNK: Final = bytes(range(97, 123)) * 630  # 16 KiB
CHUNKS: Final = (CHUNK,) * 25
BODY: Final = b"".join(CHUNKS)
# More than what sockets, servers and the bridge hold together, for a client that stops to read.
MANY_BLOCKS: Final = 2000
# Seconds for a client that will never hear anything: the server's side is over by then.
PATIENCE: Final = 4.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A call and its right answer."""

    call: Call
    right: bytes = field(repr=False)


ASKED: Final[Mapping[str, Asked]] = {
    "upper": Asked(Call(path="/upper", chunks=CHUNKS), BODY.upper()),
    "echo": Asked(Call(path="/bridged/echo", chunks=CHUNKS), BODY),
    "sync": Asked(Call(path="/bridged/sync", chunks=CHUNKS), BODY.upper()),
    "digest": Asked(
        Call(path="/digest", chunks=CHUNKS, declared=True),
        hashlib.sha256(BODY).hexdigest().encode(),
    ),
    "download": Asked(Call(path=f"/download?{MANY_BLOCKS}"), CYCLE * MANY_BLOCKS),
}

# Offsets into what a direction carries: in the head, soon after it, in the middle.
STAGES: Final = {"head": 10, "body": 300, "middle": 150_000}
FATAL: Final = {"stall": Do.STALL, "end": Do.END, "cut": Do.CUT, "reset": Do.RESET}
HARMLESS: Final = {
    "split": Fault(Way.UP, Do.SPLIT, count=2000),
    "delay": Fault(Way.UP, Do.DELAY, seconds=0.002),
    "pause": Fault(Way.UP, Do.STALL, seconds=0.2),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One case.

    Attributes:
        asked: a key of `ASKED`.
        fault: what goes wrong.
        harmless: the answer comes whole all the same.
        silent: the client never hears the end: its link is stalled, or the other side waits for
            it with nobody's timeout (a server's for heads, an application's own receive()).
    """

    asked: str
    fault: Fault
    harmless: bool
    silent: bool

    @property
    def call(self) -> Call:
        """What the client does."""
        call = ASKED[self.asked].call
        return replace(call, limit=PATIENCE) if self.silent else call

    @property
    def right(self) -> bytes:
        """The right answer."""
        return ASKED[self.asked].right


def make_cells() -> dict[str, Cell]:
    """Every fault at every stage of what it can happen to."""
    cells: dict[str, Cell] = {}
    for asked, way, stage in product(ASKED, Way, STAGES):
        if has_stage(asked, way, stage):
            after = STAGES[stage]
            for name, do in FATAL.items():
                stalled = do is Do.STALL
                silent = stalled and (way is Way.DOWN or stage == "head" or asked == "echo")
                cells[f"{asked}-{way.name}-{stage}-{name}"] = Cell(
                    asked, Fault(way, do, after), harmless=False, silent=silent
                )
            for name, fault in HARMLESS.items():
                cells[f"{asked}-{way.name}-{stage}-{name}"] = Cell(
                    asked, replace(fault, way=way, after=after), harmless=True, silent=False
                )
    return cells


def has_stage(asked: str, way: Way, stage: str) -> bool:
    """Whether so many bytes go that way."""
    if asked == "digest":
        return way is Way.UP or stage == "head"
    if asked == "download":
        return way is Way.DOWN or stage == "head"
    return True


CELLS: Final = make_cells()
