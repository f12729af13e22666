"""All cells against one server, many at a time, and what the server was like before and after."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..servers.processes import Server
from .census import Census, census
from .link import link
from .matrix import CELLS, Cell
from .peer import Call, Delivery, call

AT_ONCE: Final = 24  # as many as the pool of the applications has threads
# Seconds until a server has let go of connections that are over; Hypercorn keeps them for its
# keep-alive timeout even if the client has closed them.
SETTLE: Final = 15.0

INTERVAL: Final = 1.2  # seconds between two looks
KEPT: Final = 5.5  # and until Hypercorn has let go of a connection that is over

# Idle connections, Hypercorn's and uvicorn's; granian closes at once what its client has closed.
# Hypercorn counts a connection as idle until it has read its first head, and closes it then without
# a word: on a machine that is busier than this allows for, a call would have no answer.
KEEP_ALIVE: Final[Mapping[str, tuple[str, ...]]] = {
    "uvicorn-h11": ("--timeout-keep-alive=1",),
    "uvicorn-httptools": ("--timeout-keep-alive=1",),
    "hypercorn-asyncio": ("--keep-alive=5",),
    "hypercorn-trio": ("--keep-alive=5",),
    "granian": (),
}


@dataclass(frozen=True, slots=True)
class State:
    """A server that does nothing, seen from outside and from inside.

    Attributes:
        census: what its processes hold.
        busy: workers that still do something.
        tasks: on its loop.
        pool: threads of its pool.
        blocks: of memory, that Python has in use.
    """

    census: Census
    busy: int
    tasks: int
    pool: int
    blocks: int


@dataclass(frozen=True, slots=True)
class Run:
    """What came of all cells.

    Attributes:
        deliveries: by the names of the cells.
        before, after: the state of the server.
        log: what it has printed meanwhile.
    """

    deliveries: Mapping[str, Delivery]
    before: State
    after: State
    log: str


async def look(server: Server) -> State:
    """See what there is of a server."""
    seen: dict[str, Any] = json.loads((await call(server.port, get("/state"))).body)
    return State(census(server.pid), seen["busy"], seen["tasks"], seen["pool"], seen["blocks"])


async def look_when_settled(
    server: Server, before: State | None = None, *, at_least: float = 0.0
) -> State:
    """See what is left of a server once its connections are over, at the latest after `SETTLE`.

    Args:
        server: the one.
        before: what it was like; without it two looks in a row that agree are enough.
        at_least: seconds that this takes in any case: `KEPT`, where what is seen is a `before` and
            must not have in it what connections have left that are over.
    """
    began = time.monotonic()
    seen = await look(server)
    while time.monotonic() < began + SETTLE:
        await asyncio.sleep(INTERVAL)
        last, seen = seen, await look(server)
        settled = at_rest(seen, last if before is None else before)
        if settled and time.monotonic() >= began + at_least:
            break
    return seen


def at_rest(state: State, before: State) -> bool:
    """Whether no more is there than before."""
    return (
        state.busy == 0
        and state.tasks <= before.tasks
        and state.census.files <= before.census.files
    )


async def run_cells(server: Server) -> Run:
    """Have every cell happen to a server."""
    assert (await call(server.port, get("/warm"))).status == 200
    before = await look_when_settled(server, at_least=KEPT)
    position = len(server.log.read_text())
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(cell: Cell) -> Delivery:
        async with turns, link(server.port, [cell.fault]) as port:
            return await call(port, cell.call)

    deliveries = await asyncio.gather(*map(one, CELLS.values()))
    after = await look_when_settled(server, before)
    return Run(dict(zip(CELLS, deliveries, strict=True)), before, after, server.log_after(position))


def get(path: str) -> Call:
    """A request without a body, and the last of its connection: no server keeps that."""
    return Call(path=path, declared=True, headers=[("connection", "close")])
