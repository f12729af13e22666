# The way round, for a client that writes before it reads.
#
# protocol/duplex.py says when it is taken. Here is how: between the pump, which calls the server's
# receive(), and the sink, which has no more room, stands a queue whose greater part is on disk.
#
# Rule 1: the order is kept. What comes last (an end, a disconnect, a failure) is met last.
# Rule 2: in memory there are at most a batch that gathers, a batch that is being written, and a
#         piece that is being read. The disk is touched on threads only, and those are our own few:
#         a framework's may all be taken by handlers that wait for what is in here.
# Rule 3: two tasks work on it. The pump puts and flushes; the feeder takes, as the sink has room,
#         and ends when there is nothing left.
"""Overflow: the sink that a pump puts into while the real one is full for too long."""

from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

from ..crossing.diskqueue import DiskQueue
from ..crossing.portal import Portal
from ..crossing.waiters import LoopWaiter
from ..limits import Limits
from ..protocol.duplex import Duplex, Way
from ..protocol.request import BodyPhase, RequestBody
from ..types import Message
from .sinks import Sink

T = TypeVar("T")

# Bytes. A way to a thread and back costs about 0.1 ms, writing a MiB to the page cache 0.3 ms.
BATCH: Final = 1024 * 1024
PIECE: Final = 256 * 1024
CHUNK_COST: Final = 64  # what a chunk takes in memory beside its bytes (sys.getsizeof: 33, and 8)
# Threads of one loop that are at the disk at the same time; out of the air.
DISK_THREADS: Final = 4

_limiter: Final[RunVar[anyio.CapacityLimiter]] = RunVar("asgi_bridge.disk")


class Overflow:
    """A queue between the pump and a sink that is full.

    Args:
        portal: the loop that the exchange runs on.
        limits: how much may be held, and where.
        body: what the request's body has come to.
        duplex: where the body goes now; it has just said SPOOLING.
        sink: the sink that is full.
        room: where to wait for its room.
        sends: how many sends were begun or ended.
        on_fed: called on the loop when the sink has been given something.
        on_end: called once, on the loop: with None when the queue is empty and its feeder has
            ended, or with what it failed with.

    Attributes:
        sink: as above; may be replaced.
        room: likewise, and the old one is rung then.

    Threads: the loop's.
    """

    def __init__(
        self,
        portal: Portal,
        limits: Limits,
        body: RequestBody,
        duplex: Duplex,
        sink: Sink,
        room: LoopWaiter,
        *,
        sends: Callable[[], int],
        on_fed: Callable[[], None],
        on_end: Callable[[Exception | None], None],
    ) -> None:
        self.sink = sink
        self.room = room
        self._body = body
        self._duplex = duplex
        self._sends = sends
        self._on_fed = on_fed
        self._on_end = on_end
        self._queue = DiskQueue(limits.spool_max_bytes, limits.spool_directory)
        self._batch: deque[bytes] = deque()  # younger than what is in the queue
        self._batch_size = 0
        self._flushing = False  # a batch is on its way into the queue
        self._last: Message | None = None
        self._emptied = portal.waiter()  # where the pump waits for the feeder
        self._feeder = portal.spawn(self._feed)

    # The pump's side.

    def put(self, message: Message, chunk: bytes) -> bool:
        """Take a message, and the part of the body that it brought; then as `has_room`."""
        if chunk:
            self._batch.append(chunk)
            self._batch_size += len(chunk) + CHUNK_COST
        if self._body.phase is not BodyPhase.OPEN and self._last is None:
            self._last = {**message, "body": b""}
        self._duplex.sent(self._sends())
        return self.has_room()

    def put_earlier(self, chunk: bytes) -> None:
        """Not for this sink: what is earlier is in here already."""
        raise AssertionError("only the feeder has something earlier")

    def has_room(self) -> bool:
        """Whether the pump may fetch another message; where not, `make_room` sees to it."""
        return self._duplex.way is Way.SPOOLING and self._batch_size < BATCH

    def unread(self) -> int:
        """Bytes that the reader has not used up."""
        return self.sink.unread() + self._queue.held + self._batch_size

    async def make_room(self) -> None:
        """Do, or wait for, what the pump waits for now."""
        if self._batch_size >= BATCH:
            await self._flush()
        else:
            await stall_or(self._emptied, self._duplex, self._sends, self.unread)

    async def _flush(self) -> None:
        batch, self._batch, self._batch_size = self._batch, deque(), 0
        self._flushing = True
        try:
            await _on_disk(self._queue.append, list(batch))
        finally:
            self._flushing = False
            self.room.ring()

    # The feeder's side.

    async def _feed(self) -> None:
        failure: Exception | None = None
        try:
            while await self._feed_one():
                self._on_fed()
        except Exception as error:
            failure = error
        self._queue.close()
        self._duplex.emptied()
        self._on_end(failure)
        self._emptied.ring()

    async def _feed_one(self) -> bool:
        """Give the sink its next chunk, or the last message; False when nothing is left."""
        while not (self.sink.has_room() and (self._queue.held or not self._flushing)):
            await self.room.wait()  # rung by the sink's reader, _flush and who replaces `sink`
        if self._queue.held:
            chunk = await _on_disk(self._queue.take, PIECE)
        elif self._batch:
            chunk = self._batch.popleft()
            self._batch_size -= len(chunk) + CHUNK_COST
        else:
            if self._last is not None:
                self.sink.put(self._last, b"")
            return False
        self.sink.put_earlier(chunk)
        return True

    # The end.

    async def aclose(self) -> None:
        """Drop what is held, and wait for the feeder to end; for a thread at the disk, too."""
        self.abandon()
        await self._feeder.wait()

    def abandon(self) -> None:
        """Drop what is held, without waiting."""
        self._feeder.cancel()
        self._queue.close()
        self._emptied.ring()


async def stall_or(
    event: LoopWaiter, duplex: Duplex, sends: Callable[[], int], unread: Callable[[], int]
) -> None:
    """Wait for an event once, or until `duplex` is to look whether there is a stall.

    An event that comes together with the end of that time may be lost, so the caller looks for
    itself what it waits for, and comes back.
    """
    duplex.begin(sends(), unread())
    with anyio.move_on_after(duplex.timeout) as scope:
        await event.wait()
    if scope.cancelled_caught:
        duplex.look(sends(), unread())
    else:
        duplex.look_again()


async def _on_disk(function: Callable[..., T], *args: object) -> T:
    try:
        limiter = _limiter.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(DISK_THREADS)
        _limiter.set(limiter)
    return await anyio.to_thread.run_sync(function, *args, limiter=limiter)
