"""iterate_in_worker: a blocking iterable as an async iterator."""

import contextvars
import logging
import sys
from collections.abc import AsyncGenerator, Iterable
from typing import Final, TypeVar

import anyio
from anyio.lowlevel import RunVar

from .crossing.channel import EndOfStream
from .crossing.ends import LoopReceiver, ThreadSender, thread_to_loop
from .crossing.pool import Job, WorkerPool
from .crossing.portal import current_portal
from .errors import ExchangeOver
from .limits import Limits

logger: Final = logging.getLogger("asgi_bridge")

T = TypeVar("T")

# One for each event loop, for those who bring none; its threads end with its loop.
_default_pool: Final[RunVar[WorkerPool]] = RunVar("asgi_bridge.iterate_in_worker")


async def iterate_in_worker(
    iterable: Iterable[T], *, pool: WorkerPool | None = None, limits: Limits | None = None
) -> AsyncGenerator[T, None]:
    """Iterate over a blocking iterable without blocking the loop.

    One worker thread runs the whole iteration, ahead of the consumer by as much as
    `Limits.response` allows in bytes, and many items cross to the loop at once. Bytes-like items
    and text count with their length, others with what `sys.getsizeof` says of them.

    The iterable's `close`, if it has one, is called on that thread: at the end, after a failure,
    and when this generator is closed or cancelled.

    Args:
        iterable: what to iterate over; `iter` is called on the worker thread, too.
        pool: whose thread to use; by default that of a pool which belongs to the running loop.
        limits: bounds on memory and time: `response`, `write_timeout` and `abandon_timeout`.

    Raises:
        Overloaded: the pool and its backlog are full.
        WriteTimeout: nobody took an item for `Limits.write_timeout` seconds.
        Exception: what the iterable raised, after all items before it.

    Threads: a task of the event loop. Context variables reach the worker thread.
    """
    limits = Limits() if limits is None else limits
    portal = current_portal()
    ends: tuple[ThreadSender[T], LoopReceiver[T]] = thread_to_loop(
        portal, limits.response, timeout=limits.write_timeout
    )
    sender, receiver = ends
    ended = portal.waiter()
    work = _Iteration(iterable, sender)
    context = contextvars.copy_context()

    def done() -> None:
        work.settle()
        ended.wake()

    job = Job(lambda: context.run(work.run), done, work.refuse)
    (_pool_of_loop() if pool is None else pool).submit(job, ready=True)
    try:
        while True:
            batch = await receiver.take()
            while batch:
                item = batch.popleft()
                receiver.release(_size_of(item))
                yield item
    except EndOfStream:
        return
    finally:
        receiver.break_with(ExchangeOver("the iteration was closed"))
        if not work.settled:
            with anyio.move_on_after(limits.abandon_timeout, shield=True):
                await ended.wait()
        if not work.settled:
            logger.warning("a worker is still busy with %r after its iteration ended", iterable)


class _Iteration:
    """The worker's side of one iteration."""

    def __init__(self, iterable: Iterable[T], sender: ThreadSender[T]) -> None:
        self._iterable: Iterable[T] = iterable
        self._sender = sender
        self._error: BaseException | None = None
        self.settled = False  # the worker writes it, last; the loop reads it

    def run(self) -> None:
        try:
            try:
                for item in self._iterable:
                    self._sender.put(item, _size_of(item))
            finally:
                close = getattr(self._iterable, "close", None)
                if close is not None:
                    close()
        except BaseException as error:
            self._error = error

    def refuse(self, error: BaseException) -> None:
        self._error = error
        self.settle()

    def settle(self) -> None:
        error, self._error = self._error, None
        if error is not None and not isinstance(error, Exception):
            # SystemExit and its like would end the consumer's task, or the server
            cause, error = error, RuntimeError(f"the iterable raised {error!r}")
            error.__cause__ = cause
        self._sender.end(error)
        self.settled = True


def _size_of(item: object) -> int:
    match item:
        case bytes() | bytearray() | str():
            return len(item)
        case memoryview():
            return item.nbytes
        case _:
            return sys.getsizeof(item)


def _pool_of_loop() -> WorkerPool:
    try:
        return _default_pool.get()
    except LookupError:
        pool = WorkerPool(name="asgi-bridge-iterate")
        _default_pool.set(pool)
        return pool
