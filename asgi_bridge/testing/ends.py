# What a server would hand to the app.
#
# Rule 1: a message is taken out of the script, or put into the record, without an await after the
#         decision. So a cancelled receive() loses nothing, and a cancelled send() sent nothing.
# Rule 2: both let other tasks run before they return, though a server's may not. An app that
#         calls them in an endless loop then runs into the test's timeout, not over it.
# Rule 3: everything that a wait may depend on is told to `Changes`, which looks again.
"""The two ends that an app gets: a receive() that follows a script, a send() that records."""

import math
from collections import deque
from collections.abc import Callable, Iterable

import anyio
import anyio.lowlevel

from ..types import Message
from .messages import DISCONNECT, Scripted, is_last, recorded


class Changes:
    """Where tasks of one loop wait for a condition over state that others change."""

    def __init__(self) -> None:
        self._waiting: list[anyio.Event] = []

    def tell(self) -> None:
        """Let everyone who waits look again."""
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            event.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until the condition holds; it still does when this returns."""
        while not holds():
            event = anyio.Event()
            self._waiting.append(event)
            await event.wait()


class ReceiveEnd:
    """The app's receive().

    Args:
        script: what it delivers, in this order. Never changed; messages are delivered as copies.
        max_pending: how many calls may wait at once.
        is_open: whether the client could still send; once false, the end of the script is a
            disconnect.
        is_cancelled: whether the app's task has been cancelled by the test.
        changes: told of every change.

    Attributes:
        script: what has not been delivered yet.
        pending: calls that have not returned.
        cancellations: calls that were cancelled while `is_open()` and not `is_cancelled()`, and
            while a part of the body could have come.

    Raises:
        ValueError: something follows DISCONNECT.
    """

    def __init__(
        self,
        script: Iterable[Scripted],
        *,
        max_pending: int,
        is_open: Callable[[], bool],
        is_cancelled: Callable[[], bool],
        changes: Changes,
    ) -> None:
        self.script: deque[Scripted] = deque()
        self.pending = 0
        self.cancellations = 0
        self._body_may_come = True
        self._max_pending = max_pending
        self._is_open = is_open
        self._is_cancelled = is_cancelled
        self._changes = changes
        for item in script:
            self.add(item)

    @property
    def undelivered(self) -> int:
        """How much of the script is left; DISCONNECT, which never gets used up, does not count."""
        return sum(item is not DISCONNECT for item in self.script)

    @property
    def parked(self) -> bool:
        """Whether the app waits for something that only the test can bring."""
        return self.pending > 0 and not self._has_next()

    def add(self, item: Scripted) -> None:
        """Put one more thing at the end of the script.

        Raises:
            ValueError: the client has left.
        """
        if self.script and self.script[-1] is DISCONNECT:
            raise ValueError(f"nothing follows DISCONNECT, so {item!r} would never arrive")
        self.script.append(item)
        self._changes.tell()

    def fail(self, error: Exception) -> None:
        """Raise an error from the pending call or the next one, before anything else."""
        self.script.appendleft(error)
        self._changes.tell()

    async def receive(self) -> Message:
        """Deliver what is next.

        Raises:
            RuntimeError: `max_pending` other calls have not returned yet.
        """
        if self.pending >= self._max_pending:
            raise RuntimeError("two receives at once: an earlier receive() has not returned yet")
        self.pending += 1
        self._changes.tell()
        try:
            await anyio.lowlevel.checkpoint()
            await self._changes.until(self._has_next)
        except anyio.get_cancelled_exc_class():
            if self._body_may_come and self._is_open() and not self._is_cancelled():
                self.cancellations += 1
            raise
        finally:
            self.pending -= 1
            self._changes.tell()
        return self._next()

    def _has_next(self) -> bool:
        return bool(self.script) or not self._is_open()

    def _next(self) -> Message:
        item = self.script[0] if self.script else DISCONNECT
        if item is DISCONNECT:
            return {"type": "http.disconnect"}
        self.script.popleft()
        if isinstance(item, Exception):
            raise item
        if item["type"] == "http.request" and not item.get("more_body"):
            self._body_may_come = False
        return dict(item)


class SendEnd:
    """The app's send().

    Args:
        changes: told of every change.

    Attributes:
        sent: a copy of every message, in the order they came.
        unread: those which no `expect_...` has taken yet.
        pending: calls that have not returned.
        complete: whether the last message of the response is among them.
    """

    def __init__(self, changes: Changes) -> None:
        self.sent: list[Message] = []
        self.unread: deque[Message] = deque()
        self.pending = 0
        self.complete = False
        self._changes = changes
        self._room = math.inf  # messages that the client still takes; none makes send() park
        self._failure: tuple[int, Exception] | None = None

    @property
    def start(self) -> Message | None:
        """The first start, None before it."""
        starts = (each for each in self.sent if each["type"] == "http.response.start")
        return next(starts, None)

    @property
    def parked(self) -> bool:
        """Whether the app waits for room that only the test can make."""
        return self.pending > 0 and not self._is_ready()

    def set_room(self, messages: float) -> None:
        """Let so many more messages pass, and park the others."""
        self._room = messages
        self._changes.tell()

    def fail(self, error: Exception, after: int) -> None:
        """Raise an error from every call once `after` messages have been sent in all."""
        self._failure = (after, error)
        self._changes.tell()

    async def send(self, message: Message) -> None:
        """Record a message, when there is room for it."""
        self.pending += 1
        self._changes.tell()
        try:
            await anyio.lowlevel.checkpoint()
            await self._changes.until(self._is_ready)
        finally:
            self.pending -= 1
            self._changes.tell()
        error = self._error()
        if error is not None:
            raise error
        self._record(recorded(message))

    def _is_ready(self) -> bool:
        return self._room > 0 or self._error() is not None

    def _error(self) -> Exception | None:
        if self._failure is None or len(self.sent) < self._failure[0]:
            return None
        return self._failure[1]

    def _record(self, message: Message) -> None:
        self._room -= 1
        self.sent.append(message)
        self.unread.append(message)
        trailers = self.start is not None and self.start.get("trailers", False)
        self.complete = self.complete or is_last(message, trailers=trailers)
        self._changes.tell()
