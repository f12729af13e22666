"""What the package's log lines say of a request, and how often."""

import logging
from threading import Lock
from time import monotonic
from typing import Final

from .types import Scope

logger: Final = logging.getLogger("asgi_bridge")

# Characters of a path that a line shows; out of the air.
MOST_SHOWN: Final = 200


def shown(scope: Scope) -> str:
    """A request's method and path, safe to be a part of a log line.

    Whoever sends a request decides what its path is. A line break or an escape sequence in it would
    write a line of its own, or paint over others; so what is not printable is escaped.
    """
    return f"{printable(scope['method'])} {printable(scope['path'])}"


def printable(text: str) -> str:
    """A text of somebody else's, without control characters and not too long."""
    if len(text) > MOST_SHOWN:
        text = f"{text[:MOST_SHOWN]}..."
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


class Rarely:
    """Says whether it is time for another line. Threads: any."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = Lock()
        self._next = 0.0  # guarded by _lock

    def due(self) -> bool:
        """Whether so many seconds have passed since this last was true."""
        with self._lock:
            now = monotonic()
            if now < self._next:
                return False
            self._next = now + self._seconds
            return True
