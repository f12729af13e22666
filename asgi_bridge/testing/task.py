# The app's task.
#
# The app's exception never enters the task group, which would wrap it in an ExceptionGroup, on
# trio even alone. It is kept, with the outcome, until somebody takes it.
"""AppTask: runs an app beside the test, and keeps how it ended."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import Enum
from typing import Final

import anyio

from .ends import Changes


class AppState(Enum):
    """How far an app has got."""

    CREATED = "has not been started"
    RUNNING = "is still running"
    CANCELLING = "is being cancelled"
    RETURNED = "has returned"
    RAISED = "has raised"
    CANCELLED = "was cancelled"


_ENDED: Final = frozenset({AppState.RETURNED, AppState.RAISED, AppState.CANCELLED})


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where an app is, or how it ended.

    Attributes:
        state: CANCELLED means by the exchange; a cancellation from elsewhere counts as RAISED.
        exception: what the app raised; None unless the state is RAISED.
    """

    state: AppState
    exception: BaseException | None = None


class AppTask:
    """One task for one app.

    Args:
        changes: told when the outcome changes.

    Attributes:
        outcome: where the app is, or how it ended.
    """

    def __init__(self, changes: Changes) -> None:
        self.outcome = Outcome(AppState.CREATED)
        self._changes = changes
        self._group = AsyncExitStack()  # the task group, from start to aclose
        self._cancel_scope: anyio.CancelScope | None = None  # set by start; around the app only
        self._untaken: BaseException | None = None  # what the app raised, until it is taken

    @property
    def ended(self) -> bool:
        """Whether the outcome is final."""
        return self.outcome.state in _ENDED

    async def start(self, app: Callable[[], Awaitable[None]]) -> None:
        """Run the app in a task of its own; whoever starts it must `aclose` it.

        Raises:
            RuntimeError: it was started before.
        """
        if self.outcome.state is not AppState.CREATED:
            raise RuntimeError("an Exchange runs its app once; make a new one")
        self.outcome = Outcome(AppState.RUNNING)
        self._cancel_scope = anyio.CancelScope()
        group = await self._group.enter_async_context(anyio.create_task_group())
        group.start_soon(self._run, app, self._cancel_scope)

    def cancel(self) -> None:
        """Cancel the app if it is running."""
        if self.outcome.state is AppState.RUNNING and self._cancel_scope is not None:
            self._cancel_scope.cancel()
            self._become(Outcome(AppState.CANCELLING))

    def take_exception(self) -> BaseException | None:
        """Hand over what the app raised, the first time that it is asked for."""
        exception, self._untaken = self._untaken, None
        return exception

    async def aclose(self) -> None:
        """Cancel the app if it is running, and wait for it for as long as that takes."""
        self.cancel()
        await self._group.aclose()

    async def _run(self, app: Callable[[], Awaitable[None]], scope: anyio.CancelScope) -> None:
        try:
            with scope:
                await app()
        except BaseException as exc:
            self._untaken = exc
            self._become(Outcome(AppState.RAISED, exc))
            if isinstance(exc, anyio.get_cancelled_exc_class()):
                raise  # not our scope's cancellation, so not ours to stop
        else:
            caught = scope.cancelled_caught
            self._become(Outcome(AppState.CANCELLED if caught else AppState.RETURNED))

    def _become(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self._changes.tell()
