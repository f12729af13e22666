"""Runs the traffic against several servers side by side, and counts."""

import asyncio
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ..faults.peer import call
from ..faults.runs import KEEP_ALIVE, KEPT, State, get, look_when_settled
from ..servers.processes import Server, serving
from .traffic import KINDS
from .watch import Watch

SERVERS: Final = ("uvicorn-httptools", "hypercorn-asyncio", "hypercorn-trio", "granian")
CLIENTS: Final = 5  # of each server, at once
SHOWN: Final = 20  # complaints that are kept
# Of the time: then the traffic pauses for a look at a server that has met all of it. What has more
# blocks in the end than then has a leak.
FIRST_PART: Final = 0.3


@dataclass(slots=True)
class Tally:
    """What came of one server's traffic.

    Attributes:
        calls: how many of each kind.
        wrong, failed: complaints, the first few; `wrongs` and `failures` count them all.
        bytes: how many came and went.
        later: how many of the calls came after the pause.
        before, between, after: the server at rest: new, in the pause, in the end.
    """

    name: str
    watch: Watch
    calls: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    wrongs: int = 0
    failures: int = 0
    bytes: int = 0
    later: int = 0
    before: State | None = None
    between: State | None = None
    after: State | None = None

    @property
    def kept(self) -> int:
        """Blocks of memory that the calls after the pause have left."""
        assert self.between is not None, "soak_one has looked"
        assert self.after is not None, "soak_one has looked"
        return self.after.blocks - self.between.blocks

    @property
    def blocks(self) -> float:
        """The same, of each of those calls."""
        return self.kept / max(1, self.later)

    @property
    def left(self) -> str:
        """What was not given back, in words; empty if all was."""
        assert self.before is not None, "soak_one has looked"
        assert self.after is not None, "soak_one has looked"
        before, after = self.before, self.after
        left = {
            "workers": after.busy,
            "tasks": after.tasks - before.tasks,
            "files": after.census.files - before.census.files,
            "unlinked files": after.census.unlinked,
        }
        return ", ".join(f"{count} {name}" for name, count in left.items() if count > 0)


@contextmanager
def all_serving(names: Sequence[str]) -> Iterator[list[Server]]:
    """Each server as a process, until the block ends."""
    with ExitStack() as stack:
        servers = []
        for name in names:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            app = "tests.faults.apps:app"
            servers.append(stack.enter_context(serving(name, app, directory, *KEEP_ALIVE[name])))
        yield servers


async def soak(servers: Sequence[Server], seconds: float, seed: int) -> list[Tally]:
    """Send mixed traffic to all of them for a time."""
    return await asyncio.gather(*(soak_one(each, seconds, seed) for each in servers))


async def soak_one(server: Server, seconds: float, seed: int) -> Tally:
    tally = Tally(server.name, Watch(server.pid))
    assert (await call(server.port, get("/warm"))).status == 200
    tally.before = await look_when_settled(server, at_least=KEPT)
    watching = asyncio.create_task(tally.watch.run())
    dice = [random.Random(f"{seed} {server.name} {number}") for number in range(CLIENTS)]
    await clients(server.port, tally, seconds * FIRST_PART, dice)
    tally.between = await look_when_settled(server, tally.before)
    earlier = tally.calls.total()
    await clients(server.port, tally, seconds * (1 - FIRST_PART), dice)
    tally.later = tally.calls.total() - earlier
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    tally.after = await look_when_settled(server, tally.before)
    return tally


async def clients(port: int, tally: Tally, seconds: float, dice: Sequence[random.Random]) -> None:
    """Make calls for a time, as many at once as there are dice."""
    deadline = time.monotonic() + seconds
    await asyncio.gather(*(client(port, tally, deadline, each) for each in dice))


async def client(port: int, tally: Tally, deadline: float, dice: random.Random) -> None:
    """Make calls, one after the other, until the time is up."""
    while time.monotonic() < deadline:
        name = dice.choice(list(KINDS))
        verdict = await KINDS[name](port, dice)
        tally.calls[name] += 1
        tally.bytes += verdict.bytes
        if verdict.wrong:
            tally.wrongs += 1
            tally.wrong = [*tally.wrong, f"{name}: {verdict.wrong}"][:SHOWN]
        if verdict.failed:
            tally.failures += 1
            tally.failed = [*tally.failed, f"{name}: {verdict.failed}"][:SHOWN]
