# A network that fails where a test says so.
#
# Rule 1: a script has one list of faults for each direction, at offsets into what that direction
#         carries, so that the same bytes meet the same fault however they are cut into segments.
# Rule 2: back-pressure goes through: a direction reads on when what it read has been written.
# Rule 3: whatever is stalled ends with the link.
"""Link: a proxy on loopback between one client and one server, driven by a script."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from typing import Final

BLOCK: Final = 64 * 1024
# RST instead of FIN: linger on, for no time at all
NO_LINGER: Final = struct.pack("ii", 1, 0)


class Way(Enum):
    """A direction."""

    UP = "to the server"
    DOWN = "to the client"


class Do(Enum):
    """What happens to a direction from an offset on."""

    STALL = "nothing goes on, for `seconds` or for ever"
    END = "the far side is told that nothing more comes (FIN); the other direction goes on"
    CUT = "both connections are closed (FIN)"
    RESET = "both connections are reset (RST)"
    SPLIT = "the next `count` bytes go on in segments of one byte"
    DELAY = "each later segment is late by `seconds`"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        way: with what direction.
        do: what.
        after: how many bytes of that direction go through before, heads and framing included.
        seconds: how long, see `Do`; None is for ever.
        count: how many bytes, see `Do`.
    """

    way: Way
    do: Do
    after: int = 0
    seconds: float | None = None
    count: int = 0


class Connection:
    """One client's connection through a link."""

    def __init__(self, ends: Sequence[asyncio.StreamWriter]) -> None:
        self._ends = ends

    def cut(self) -> None:
        """Close both sides in order."""
        for end in self._ends:
            end.close()

    def reset(self) -> None:
        """Close both sides with a reset."""
        for end in self._ends:
            end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            end.transport.abort()


class Direction:
    """Carries bytes one way, with the faults that belong to it."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        faults: Sequence[Fault],
        connection: Connection,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._faults = sorted(faults, key=lambda fault: fault.after)
        self._connection = connection
        self._carried = 0
        self._delay = 0.0

    async def run(self) -> None:
        """Carry bytes until one side ends or a fault does."""
        for fault in self._faults:
            if not await self._carry(fault.after - self._carried):
                return
            if await self._apply(fault):
                return
        await self._carry(None)

    async def _carry(self, count: int | None, segment: int = BLOCK) -> bool:
        """Carry so many bytes, None for all; False if there were not so many."""
        end = None if count is None else self._carried + count
        while end is None or self._carried < end:
            wanted = segment if end is None else min(segment, end - self._carried)
            data = await self._reader.read(wanted)
            if self._delay:
                await asyncio.sleep(self._delay)
            if not data:
                with suppress(OSError):
                    self._writer.write_eof()
                return False
            self._writer.write(data)
            await self._writer.drain()
            self._carried += len(data)
        return True

    async def _apply(self, fault: Fault) -> bool:
        """Let a fault happen; whether the direction is over with it."""
        match fault.do:
            case Do.STALL:
                await asyncio.sleep(1e9 if fault.seconds is None else fault.seconds)
            case Do.END:
                self._writer.write_eof()
                return True
            case Do.CUT:
                self._connection.cut()
                return True
            case Do.RESET:
                self._connection.reset()
                return True
            case Do.SPLIT:
                return not await self._carry(fault.count, segment=1)
            case Do.DELAY:
                self._delay = fault.seconds or 0.0
        return False


async def carry(
    client: tuple[asyncio.StreamReader, asyncio.StreamWriter], port: int, script: Sequence[Fault]
) -> None:
    """Connect a client with the server and carry bytes both ways until both have ended."""
    from_client, to_client = client
    from_server, to_server = await asyncio.open_connection("127.0.0.1", port)
    connection = Connection((to_client, to_server))
    up = [each for each in script if each.way is Way.UP]
    down = [each for each in script if each.way is Way.DOWN]
    try:
        async with asyncio.TaskGroup() as ways:
            ways.create_task(Direction(from_client, to_server, up, connection).run())
            ways.create_task(Direction(from_server, to_client, down, connection).run())
    except* OSError:  # a side has reset its connection: so does the link the other one's
        connection.reset()
    finally:
        connection.cut()


@asynccontextmanager
async def link(port: int, script: Sequence[Fault] = ()) -> AsyncIterator[int]:
    """A link to a server, for any number of connections; yields the port to connect to."""
    running: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            with suppress(OSError, asyncio.CancelledError):  # cancelled by the end below, only
                await carry((reader, writer), port, script)
        finally:
            running.discard(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=BLOCK)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=5)
