"""A portal whose loop is the test."""

from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from asgi_bridge.crossing.portal import Portal, Running
from asgi_bridge.crossing.waiters import LoopWaiter


class HandTurned(Portal):
    """A portal to a loop that the test turns by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.wakes: deque[Callable[[], object]] = deque()

    def _call_soon_threadsafe(self, callback: Callable[[], object]) -> None:
        self.wakes.append(callback)

    def turn(self) -> None:
        """Come round once: do what the wakes so far have asked for."""
        for _ in range(len(self.wakes)):
            self.wakes.popleft()()

    async def checkpoint(self) -> None:
        raise NotImplementedError

    def waiter(self) -> LoopWaiter:
        raise NotImplementedError

    def spawn(self, function: Callable[[], Coroutine[Any, Any, None]]) -> Running:
        raise NotImplementedError

    async def run_here(
        self,
        coroutine: Coroutine[Any, Any, None],
        on_wait: Callable[[Running], None],
    ) -> bool:
        raise NotImplementedError
