"""The portal to an asyncio loop, uvloop's included."""

import asyncio
import types
from asyncio import current_task
from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial
from typing import Any, Final

from .portal import Portal, Running, RunningHere
from .waiters import LoopWaiter

# Seconds from a send until somebody looks whether it has returned. A timer for each would cost as
# much as the send does; of these there are at most ten a second.
OVERDUE: Final = 0.1


class AsyncioPortal(Portal):
    """A portal to an asyncio loop, uvloop's included."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.loop = loop
        self.task = partial(current_task, loop)
        self._lingers: set[Callable[[], None]] = set()  # loop thread only
        # asyncio itself holds a task that waits by a weak reference only
        self._free: set[asyncio.Task[None]] = set()  # loop thread only

    can_linger = True

    def linger_soon(self, linger: Callable[[], None]) -> None:
        if linger not in self._lingers:
            self._lingers.add(linger)
            self.loop.call_soon(self._linger, linger)

    def _linger(self, linger: Callable[[], None]) -> None:
        self._lingers.remove(linger)
        self._wake_pending = True  # we look at what is posted meanwhile ourselves
        try:
            linger()
        finally:
            self._run_posted()

    def _call_soon_threadsafe(self, callback: Callable[[], object]) -> None:
        try:
            self.loop.call_soon_threadsafe(callback)
        except RuntimeError:
            pass  # the loop is closed

    def soon(self, callback: Callable[[], object]) -> None:
        try:
            self.loop.call_soon(callback)
        except RuntimeError:
            callback()  # the loop is closed

    def checkpoint(self) -> Awaitable[None]:
        return _bare_yield()

    def waiter(self) -> LoopWaiter:
        return AsyncioWaiter(self)

    def spawn(self, function: Callable[[], Coroutine[Any, Any, None]]) -> Running:
        # Not loop.create_task: a factory of eager tasks would run it in here, before the caller
        # knows what it has started.
        return AsyncioTask(asyncio.Task(function(), loop=self.loop))

    def spawn_free(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.Task(function(), loop=self.loop)
        self._free.add(task)
        task.add_done_callback(self._free_task_ended)

    def _free_task_ended(self, task: "asyncio.Task[None]") -> None:
        self._free.discard(task)
        if not task.cancelled():
            task.exception()  # fetched, or asyncio would log it as never retrieved

    def run_here(
        self,
        coroutine: Coroutine[Any, Any, None],
        on_wait: Callable[[Running], None],
    ) -> Awaitable[bool] | None:
        try:
            future = coroutine.send(None)
        except StopIteration:
            return None
        return self._go_on_here(coroutine, future, on_wait)

    def look_soon(self) -> None:
        self.look_is_due = True
        self.loop.call_later(OVERDUE, self._look)

    def _look(self) -> None:
        self.look_is_due = False
        self.shutdown.look()

    def mark(self) -> "tuple[asyncio.Task[Any], int] | None":
        task = current_task(self.loop)
        return None if task is None else (task, task.cancelling())

    def here(self, mark: "tuple[asyncio.Task[Any], int]") -> RunningHere:
        return _AsyncioHere(self, *mark)

    async def _go_on_here(
        self,
        coroutine: Coroutine[Any, Any, None],
        future: Any,
        on_wait: Callable[[Running], None],
    ) -> bool:
        mark = self.mark()
        assert mark is not None, "a coroutine is awaited by a task"
        here = self.here(mark)
        on_wait(here)
        try:
            await _go_on(coroutine, future)
        except BaseException as error:
            if not here.over(error):
                raise
            return False
        here.over(None)
        return True


@types.coroutine
def _bare_yield() -> Generator[None, None, None]:
    """What `asyncio.sleep(0)` does, in one call instead of three."""
    yield


@types.coroutine
def _go_on(coroutine: Coroutine[Any, Any, None], yielded: Any) -> Generator[Any, Any, None]:
    """What `await` does, for a coroutine that has begun and has yielded for the first time."""
    try:
        while True:
            try:
                sent = yield yielded
            except BaseException as error:
                yielded = coroutine.throw(error)
            else:
                yielded = coroutine.send(sent)
    except StopIteration:
        pass  # it has returned


class AsyncioTask:
    """A `Running` on asyncio."""

    __slots__ = ("_task",)

    def __init__(self, task: "asyncio.Task[None]") -> None:
        self._task = task

    def cancel(self) -> None:
        self._task.cancel()

    async def wait(self) -> None:
        # asyncio.wait and not the task itself: a cancelled task would raise its CancelledError
        # here, where it cannot be told from the cancellation of the caller.
        await asyncio.wait((self._task,))
        if not self._task.cancelled():
            self._task.exception()  # fetched, or asyncio would log it as never retrieved


class _AsyncioHere:
    """A `Running` that is part of its caller's task. It is stopped as `asyncio.timeout` does it."""

    __slots__ = ("_asked", "_before", "_ended", "_portal", "_task")

    def __init__(self, portal: AsyncioPortal, task: "asyncio.Task[Any]", before: int) -> None:
        self._portal = portal
        self._task: asyncio.Task[Any] | None = task  # None once it is over
        self._before = before  # cancellations asked of it by others, and not heard
        self._asked = False  # a cancellation of ours has yet to be taken back
        self._ended: AsyncioWaiter | None = None  # set by whoever waits for the end

    def cancel(self) -> None:
        if self._task is None or self._asked:
            return
        if self._task is current_task(self._portal.loop):
            # of itself: that would come with its next await, which may be no part of this
            self._portal.soon(self.cancel)
            return
        self._asked = True
        self._task.cancel()

    async def wait(self) -> None:
        if self._task is not None:
            self._ended = AsyncioWaiter(self._portal)
            await self._ended.wait()  # rung by over

    def over(self, error: BaseException | None) -> bool:
        task, self._task = self._task, None
        if self._ended is not None:
            self._ended.ring()
        if task is None or not self._asked:
            return False
        left = task.uncancel()  # it may have ended without having heard of it
        # ours, and nobody else's too
        return isinstance(error, asyncio.CancelledError) and left <= self._before


class AsyncioWaiter:
    """A `LoopWaiter` on asyncio."""

    __slots__ = ("_future", "_portal", "_rung")

    def __init__(self, portal: AsyncioPortal) -> None:
        self._portal = portal
        self._future: asyncio.Future[None] | None = None  # loop thread only
        self._rung = False  # loop thread only

    def wake(self) -> None:
        self._portal.post(self.ring)

    def ring(self) -> None:
        future = self._future
        if future is None:
            self._rung = True
        elif not future.done():
            future.set_result(None)

    async def wait(self) -> None:
        if self._rung:
            self._rung = False
            return
        self._future = self._portal.loop.create_future()
        try:
            await self._future
        finally:
            self._future = None
