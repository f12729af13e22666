"""iterate_in_worker: a blocking iterable as an async iterator."""

import logging
import sys
from collections.abc import AsyncGenerator, Iterable
from functools import partial
from typing import Final, TypeVar

from anyio.lowlevel import RunVar

from .crossing.ending import EndOfStream
from .crossing.here import current_portal
from .crossing.interrupt import Interrupt
from .crossing.outlet import Outlet
from .crossing.pool import WorkerPool
from .crossing.work import Work
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

    A worker that is inside a read of a request's body when the iteration is given up is let go: the
    read raises `ExchangeOver`, and so does every later one.

    The iterable's `close`, if it has one, is called on that thread: at the end, after a failure,
    and when this generator is closed or cancelled; unless the iteration has not begun by then.

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
    # each item with the size that it was counted with: what is yielded may change
    outlet: Outlet[tuple[T, int]] = Outlet(portal, limits.response, timeout=limits.write_timeout)
    interrupt = Interrupt()
    work = Work(partial(_run, iterable, outlet, interrupt), outlet)
    pool = _pool_of_loop() if pool is None else pool
    pool.submit(work, ready=True)
    try:
        while True:
            batch = await outlet.take()
            while batch:
                item, size = batch.popleft()
                outlet.used(size)
                yield item
    except EndOfStream:
        return
    finally:
        closed = ExchangeOver("the iteration was closed")
        outlet.break_with(closed)
        interrupt.set(closed)
        begun = not pool.withdraw(work)
        if begun:
            await work.wait_over(portal, limits.abandon_timeout)
        if begun and not work.over:
            logger.warning("a worker is still busy with %r after its iteration ended", iterable)


def _run(iterable: Iterable[T], outlet: Outlet[tuple[T, int]], interrupt: Interrupt) -> None:
    """Put every item, then close the iterable, here in its own thread, whatever happens."""
    try:
        with interrupt.here():
            for item in iterable:
                size = _size_of(item)
                outlet.put((item, size), size)
    finally:
        close = getattr(iterable, "close", None)
        if close is not None:
            close()


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
