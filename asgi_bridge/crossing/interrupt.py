# A worker that runs somebody's iterable may be inside a read of a request's body when the iteration
# is given up. Only the body's owner would wake it, and the application that has to return before
# the exchange is over waits for the worker: so whoever gives up must find what the worker waits at.
"""Interrupt: lets go of the channel that a thread waits for, whatever channel that is."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from .channel import Channel


class Interrupt:
    """The second way out of one thread's waits. Threads: `set` any; the rest that thread's."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._channel: Channel[Any] | None = None  # guarded by _lock; what is waited for
        self._error: BaseException | None = None  # guarded by _lock; set once

    def set(self, error: BaseException) -> None:
        """Make the wait, this one or the next, end with `error`; its channel is broken by it."""
        with self._lock:
            self._error = error
            channel = self._channel
        if channel is not None:
            channel.break_with(error)

    def begin(self, channel: Channel[Any]) -> None:
        """The thread is about to wait for a channel."""
        with self._lock:
            self._channel = channel
            error = self._error
        if error is not None:
            channel.break_with(error)

    def end(self) -> None:
        """It waits no longer."""
        with self._lock:
            self._channel = None

    @contextmanager
    def here(self) -> Iterator[None]:
        """Have the waits of the calling thread end by this."""
        before, _here.interrupt = _here.interrupt, self
        try:
            yield
        finally:
            _here.interrupt = before


class _Here(threading.local):
    interrupt: Interrupt | None = None


_here = _Here()


def current_interrupt() -> Interrupt | None:
    """That of the calling thread."""
    return _here.interrupt
