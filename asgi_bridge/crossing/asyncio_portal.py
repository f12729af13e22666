"""The portal to an asyncio loop, uvloop's included."""

import asyncio
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

from .portal import Portal, Running
from .waiters import LoopWaiter


class AsyncioPortal(Portal):
    """A portal to an asyncio loop, uvloop's included."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.loop = loop
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

    async def _go_on_here(
        self,
        coroutine: Coroutine[Any, Any, None],
        future: Any,
        on_wait: Callable[[Running], None],
    ) -> bool:
        task = asyncio.current_task(self.loop)
        assert task is not None, "a coroutine is awaited by a task"
        here = _AsyncioHere(self, task)
        on_wait(here)
        try:
            await _go_on(coroutine, future)
        except asyncio.CancelledError:
            if not here.stopped():
                raise
            return False
        finally:
            here.end()
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

    def __init__(self, portal: AsyncioPortal, task: "asyncio.Task[Any]") -> None:
        self._portal = portal
        self._task: asyncio.Task[Any] | None = task  # None once it is over
        self._before = task.cancelling()  # asked of it by others, and not heard
        self._asked = False  # a cancellation of ours has yet to be taken back
        self._ended: AsyncioWaiter | None = None  # set by whoever waits for the end

    def cancel(self) -> None:
        if self._task is not None and not self._asked:
            self._asked = True
            self._task.cancel()

    async def wait(self) -> None:
        if self._task is not None:
            self._ended = AsyncioWaiter(self._portal)
            await self._ended.wait()  # rung by end

    def stopped(self) -> bool:
        """Whether a cancellation that has come is ours, and nobody else's too."""
        if self._task is None or not self._asked:
            return False
        self._asked = False
        return self._task.uncancel() <= self._before

    def end(self) -> None:
        """It is over."""
        task, self._task = self._task, None
        if self._asked and task is not None:
            task.uncancel()  # it ended without having heard of it
        if self._ended is not None:
            self._ended.ring()


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
