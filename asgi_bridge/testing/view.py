"""View: what can be seen of a scripted exchange at any time, without waiting."""

from collections.abc import Iterable
from reprlib import Repr
from typing import Final

from ..types import Message, RawHeaders
from .ends import Changes, ReceiveEnd, SendEnd
from .messages import Scripted
from .task import AppState, AppTask, Outcome

# An account shows the last few messages, and the two ends of a long body.
_SHOWN_MESSAGES: Final = 4
_shown = Repr()
_shown.maxother = 60


class View:
    """The parts of an exchange, and what they say.

    Args:
        receive: the script of the app's receive().
        max_receives: calls of receive() that may wait at once.
    """

    def __init__(self, receive: Iterable[Scripted], max_receives: int) -> None:
        self._changes = Changes()
        self._task = AppTask(self._changes)
        self._sending = SendEnd(self._changes)
        self._receiving = ReceiveEnd(
            receive,
            max_pending=max_receives,
            is_open=self._is_open,
            is_cancelled=self._is_cancelled,
            changes=self._changes,
        )

    @property
    def outcome(self) -> Outcome:
        """Where the app is, or how it ended."""
        return self._task.outcome

    @property
    def sent(self) -> list[Message]:
        """Copies of all messages that the app sent, defaults filled in as by `start` and `body`."""
        return self._sending.sent

    @property
    def status(self) -> int | None:
        """The response's status, None before the start."""
        start = self._sending.start
        return None if start is None else start["status"]

    @property
    def headers(self) -> RawHeaders:
        """The response's headers, none before the start."""
        start = self._sending.start
        return [] if start is None else start["headers"]

    @property
    def body(self) -> bytes:
        """The response body so far."""
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def complete(self) -> bool:
        """Whether the last message of the response was sent."""
        return self._sending.complete

    @property
    def undelivered(self) -> int:
        """What the app has not received of the script; DISCONNECT does not count."""
        return self._receiving.undelivered

    @property
    def receives_pending(self) -> int:
        """Calls of receive() that have not returned."""
        return self._receiving.pending

    @property
    def sends_pending(self) -> int:
        """Calls of send() that have not returned."""
        return self._sending.pending

    @property
    def receive_cancellations(self) -> int:
        """Calls of receive() that the app cancelled before it had all of the body.

        Some servers lose a chunk in each. Those after the response was complete, and those that
        `cancel` brings about, are not counted.
        """
        return self._receiving.cancellations

    def __repr__(self) -> str:
        return (
            f"<Exchange {self.outcome.state.name} sent={len(self.sent)} "
            f"complete={self.complete} undelivered={self.undelivered} "
            f"receives_pending={self.receives_pending} sends_pending={self.sends_pending}>"
        )

    def _is_open(self) -> bool:
        """Tell whether the client could still send something that matters."""
        return not (self._task.ended or self.complete)

    def _is_cancelled(self) -> bool:
        """Tell whether the test has cancelled the app; no server tells of a disconnect then."""
        return self.outcome.state in (AppState.CANCELLING, AppState.CANCELLED)

    def _account(self) -> str:
        """Put into words where everything stands, for a failure."""
        last = [_shown.repr(message) for message in self.sent[-_SHOWN_MESSAGES:]]
        return f"the app {self.outcome.state.value}, {self!r}, sent last: [{', '.join(last)}]"
