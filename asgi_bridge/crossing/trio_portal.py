"""The portal to a trio run; imported only where trio is."""

from collections.abc import Awaitable, Callable, Coroutine
from contextvars import copy_context
from typing import Any

import trio

from .portal import Portal, Running
from .waiters import LoopWaiter

_portal: trio.lowlevel.RunVar["TrioPortal"] = trio.lowlevel.RunVar("asgi_bridge.portal")


def running_trio_portal() -> "TrioPortal | None":
    """The portal of the trio run on this thread, None where trio is not running here."""
    # Not in_trio_run: below a guest run, that is true of the host loop's own tasks too.
    if not trio.lowlevel.in_trio_task():
        return None
    try:
        return _portal.get()
    except LookupError:
        portal = TrioPortal(trio.lowlevel.current_trio_token())
        _portal.set(portal)
        return portal


class TrioPortal(Portal):
    """A portal to a trio run."""

    def __init__(self, token: trio.lowlevel.TrioToken) -> None:
        super().__init__()
        self.task = trio.lowlevel.current_task
        self._token = token

    def _call_soon_threadsafe(self, callback: Callable[[], object]) -> None:
        try:
            self._token.run_sync_soon(callback)
        except trio.RunFinishedError:
            pass

    async def checkpoint(self) -> None:
        # Twice: trio runs a batch in a random order, so after one the others may yet have to run.
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()

    def waiter(self) -> LoopWaiter:
        return TrioWaiter(self)

    def spawn(self, function: Callable[[], Coroutine[Any, Any, None]]) -> Running:
        # A system task and not a nursery around the application: a nursery would wrap what the
        # application raises in an ExceptionGroup. The exchange cancels it and waits for it, so it
        # never outlives the request that it works for.
        task = TrioTask()
        trio.lowlevel.spawn_system_task(task.run, function, context=copy_context())
        return task

    def run_here(
        self,
        coroutine: Coroutine[Any, Any, None],
        on_wait: Callable[[Running], None],
    ) -> Awaitable[bool]:
        here = TrioTask()
        self._token.run_sync_soon(lambda: None if here.over else on_wait(here))
        return here.run_here(coroutine)


class TrioTask:
    """A `Running` on trio."""

    __slots__ = ("_done", "_scope")

    def __init__(self) -> None:
        self._scope = trio.CancelScope()
        self._done = trio.Event()

    async def run(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """The body of the system task; an exception out of it would end the whole run."""
        try:
            with self._scope:
                await function()
        except Exception:
            pass  # dropped, see Running
        finally:
            self._done.set()

    async def run_here(self, coroutine: Coroutine[Any, Any, None]) -> bool:
        """The same in the caller's task, whose cancellation and exceptions are its own."""
        try:
            with self._scope:
                await coroutine
        finally:
            self._done.set()
        return not self._scope.cancelled_caught

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._done.is_set()

    def cancel(self) -> None:
        self._scope.cancel()

    async def wait(self) -> None:
        await self._done.wait()


class TrioWaiter:
    """A `LoopWaiter` on trio."""

    __slots__ = ("_event", "_portal")

    def __init__(self, portal: TrioPortal) -> None:
        self._portal = portal
        self._event = trio.Event()  # loop thread only

    def wake(self) -> None:
        self._portal.post(self.ring)

    def ring(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        await self._event.wait()
        self._event = trio.Event()
