# How the bridge learns that its server has been told to end.
#
# ASGI has no message for it: a server stops to listen, waits for the requests that run, one for a
# time and another without end, and then tells the lifespan. It goes by a signal; so do we.
#
# Rule 1: nothing is touched but where a server listens for SIGTERM, and from the main thread.
# Rule 2: a signal goes on to who listened before us, each time; that decides what becomes of it.
# Rule 3: who listened before is put back in the end, unless somebody else has come after us.
"""SignalChain: hears SIGTERM and SIGINT before the server does."""

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

HEARD: Final = (signal.SIGTERM, signal.SIGINT)


class SignalChain:
    """A place in front of a server's signal handlers.

    Args:
        hear: called in the main thread between any two steps of whatever runs there, so it may
            only do what is safe then.

    Threads: the main one; on any other it does nothing.

    Event loops are told of a signal by the interpreter, through a file descriptor, whoever its
    handler is (`signal.set_wakeup_fd`); so `loop.add_signal_handler` goes on to work, too.
    """

    def __init__(self, hear: Callable[[], None]) -> None:
        self._hear = hear
        self._process = os.getpid()
        self._before: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def install(self) -> None:
        """Begin to hear, where a server listens for SIGTERM."""
        if threading.current_thread() is not threading.main_thread():
            return
        if not callable(signal.getsignal(signal.SIGTERM)):
            return  # the system's own, which ends the process at once, or not Python's to know
        for number in HEARD:
            before = signal.getsignal(number)
            if callable(before):
                self._before[number] = before
                signal.signal(number, self._heard)

    def remove(self) -> None:
        """Hear no more."""
        self._hear = _nothing
        for number, before in self._before.items():
            if signal.getsignal(number) == self._heard:
                signal.signal(number, before)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() == self._process:  # a fork has our handlers, and not our loop
            self._hear()
        self._before[number](number, frame)


def _nothing() -> None:
    """What is done for a signal that nobody wants to hear of any more."""
