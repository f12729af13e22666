"""Threads for tests: none outlives its limit unnoticed, and what one raises is raised again."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

LIMIT = 10.0  # seconds; a test that gets there has failed


class Running(Generic[T]):
    """A call on a thread of its own, begun at once."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._returned: list[T] = []
        self._raised: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self._returned.append(self._function())
        except BaseException as error:
            self._raised = error

    def result(self) -> T:
        """Wait for its end; return what it returned or raise what it raised."""
        self.thread.join(LIMIT)
        assert not self.thread.is_alive(), f"{self._function} has not ended after {LIMIT} s"
        if self._raised is not None:
            raise self._raised
        return self._returned[0]
