# aiohttp bounds the connections in use, and keeps every one of them for later, to each host as many
# as there ever were at once. MAX_KEEPALIVE_CONN bounds what is kept for all hosts together.
#
# Rule 1: who may keep its connection is decided before the request, for the other side is told.
# Rule 2: a connection counts from the first request on it until it has been idle for too long. One
#         that the other side has closed counts as well: at worst, one fewer than allowed is kept.
# Rule 3: a request on a connection that was kept counts no second time.
"""Kept: how many connections to other hosts stay open between requests."""

from collections import deque


class Kept:
    """The connections that wait for another request, or will.

    Args:
        most: of them at once.
        seconds: after which an idle one is closed.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._idle: dict[str, deque[float]] = {}  # since when, oldest first
        self._count = 0

    def begin(self, host: str, now: float) -> bool:
        """Whether a request may keep its connection; if so, `end` must follow.

        Args:
            host: with its port.
            now: seconds, of a clock that never goes back.
        """
        if idle := self._idle.get(host):
            idle.popleft()
            self._count -= 1
        if self._count >= self._most:
            self._forget(now - self._seconds)
        if self._count >= self._most:
            return False
        self._count += 1
        return True

    def end(self, host: str, now: float, *, usable: bool) -> None:
        """A request that might keep its connection is over; a broken one is not usable."""
        if usable:
            self._idle.setdefault(host, deque()).append(now)
        else:
            self._count -= 1

    def _forget(self, before: float) -> None:
        """Forget what has been idle for too long."""
        for host, idle in list(self._idle.items()):
            while idle and idle[0] < before:
                idle.popleft()
                self._count -= 1
            if not idle:
                del self._idle[host]
