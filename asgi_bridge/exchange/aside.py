# Work that goes on beside the task that has begun it.
#
# Rule 1: what it raises comes out of `join`, with its traceback, and is kept nowhere after that:
#         its frames hold the exchange.
# Rule 2: whoever waits for it and is cancelled calls it off first, and waits on: its own winding
#         down is bounded. That is not cancelled itself, or it would be broken off: the end of a
#         whole asyncio run cancels both tasks, and no anyio scope shields from that.
"""Aside: a task beside an exchange's own."""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import anyio

from ..crossing.portal import Portal, Running


class Aside:
    """A coroutine function in a task of its own, which begins when this is made.

    Args:
        portal: the loop.
        function: what the task runs.

    Attributes:
        winds_down: set by the function once it only sees to its end.

    Threads: the loop's.
    """

    __slots__ = ("_error", "_task", "winds_down")

    def __init__(self, portal: Portal, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.winds_down = False
        self._error: BaseException | None = None  # what it raised
        self._task: Running | None = portal.spawn(partial(self._run, function))

    async def join(self) -> None:
        """Wait for its end; once.

        Raises:
            BaseException: what it raised.
        """
        assert self._task is not None, "it is joined once"
        try:
            await self._task.wait()
        except BaseException:
            await self.call_off()
            raise
        self._task = None  # it holds the error, whose frames hold us
        error, self._error = self._error, None
        try:
            if error is not None:
                raise error
        finally:
            del error  # it holds this frame

    async def call_off(self) -> None:
        """Cancel it, if it does not see to its end already, and wait for that."""
        assert self._task is not None, "it is not joined yet"
        if not self.winds_down:
            self._task.cancel()
        with anyio.CancelScope(shield=True):
            await self._task.wait()
        self._task = self._error = None

    async def _run(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await function()
        except BaseException as error:
            self._error = error
            raise
