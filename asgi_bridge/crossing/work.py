"""Work: a call on a worker whose output goes through a channel, and its ending with it."""

import contextvars
from collections.abc import Callable
from typing import Any, Final

import anyio

from .lines import Job
from .outlet import Outlet
from .portal import Portal
from .waiters import LoopWaiter


class Work(Job):
    """A call on a worker thread, and what became of it.

    The channel is closed when the call has ended, with the exception that came out of it, if any.

    Args:
        call: what the worker calls, in a copy of the present context; it puts into `outlet`.
        outlet: what that puts out.

    Attributes:
        over: whether the call has ended, or will never be made. The worker writes it, the loop
            reads it.

    It knows nothing of those who wait for it, so a thread that is done keeps none of them alive.
    """

    __slots__ = ("_call", "_context", "_error", "_outlet", "_waiter", "over")

    def __init__(self, call: Callable[[], None], outlet: Outlet[Any]) -> None:
        self.line = None
        self._call: Final = call
        self._outlet: Final = outlet
        self._context: Final = contextvars.copy_context()
        self._error: BaseException | None = None
        self._waiter: LoopWaiter | None = None  # set by a loop that waits for `over`
        self.over = False

    def run(self) -> None:
        try:
            self._context.run(self._call)
        except Exception as error:
            self._error = error
        except BaseException as error:
            # SystemExit and its like would end the task that meets it, or the server; the call
            # only speaks for its own request. By name: a repr that raises would end the thread.
            self._error = RuntimeError(f"the worker's function raised {type(error).__name__}")
            self._error.__cause__ = error

    def done(self) -> None:
        self.over = True
        error, self._error = self._error, None
        self._outlet.finish(error)
        # Either we see the waiter here, or wait_over, which sets it first, sees `over`.
        if self._waiter is not None:
            self._waiter.wake()

    def refused(self, error: BaseException) -> None:
        self._error = error
        self.done()

    async def wait_over(self, portal: Portal, timeout: float) -> None:  # noqa: ASYNC109  # shielded
        """Wait until the call has ended, though not longer than `timeout` seconds.

        Cancellation: shielded; this is what a task that was cancelled does last.
        """
        self._waiter = portal.waiter()
        if not self.over:
            with anyio.move_on_after(timeout, shield=True):
                await self._waiter.wait()  # woken by done
