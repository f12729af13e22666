# When the exchanges of a loop have to end.
#
# Rule 1: it begins with a signal that the server listens for (signals.py). From then on an exchange
#         has its time, and after it whoever waits in it is let go.
# Rule 2: signals are listened for while there is a lifespan, no longer. Its end, which servers tell
#         of when they wait for nobody any more, ends what still runs.
# Rule 3: an exchange only enters its name; it pays for nothing else before there is a shutdown.
"""Shutdown: ends the exchanges of one loop in time."""

import logging
from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

import anyio

from ..errors import ServerShutdown
from .signals import SignalChain

if TYPE_CHECKING:
    from .portal import Portal, Running

logger: Final = logging.getLogger("asgi_bridge")

# Seconds between two looks at what runs. New exchanges may come, with less time than the others.
LOOK: Final = 0.5


class Request(Protocol):
    """What is known of an exchange's request; `str` says which."""

    @property
    def closing_headers(self) -> Mapping[str, str]:
        """Headers of a response after which its connection is closed."""


class Ending(Protocol):
    """An exchange that can be ended."""

    @property
    def shutdown_timeout(self) -> float | None:
        """Seconds that it has, None for as many as the server gives it."""

    @property
    def intake(self) -> Request:
        """Its request; exchanges within each other have the same."""

    def look(self) -> None:
        """See whether it waits in a send that nobody watches over."""

    def shut_down(self, error: ServerShutdown) -> None:
        """Let go whoever waits in it."""


class Shutdown:
    """What runs on one loop, and whether its server has been told to end.

    Args:
        portal: the loop.

    Attributes:
        begun: when that was, by `time.monotonic`; None before.
        timeout: seconds that all exchanges have, instead of what their own limits say; None where
            those count.
        alarm: called at once when a signal comes, like a signal handler; None for nothing.
        add: to be called with an exchange that begins; before a shutdown it is the set's own.
        discard: to be called with an exchange that is over; it is the set's own.

    Threads: the loop's, but for `hear`.
    """

    def __init__(self, portal: "Portal") -> None:
        self.begun: float | None = None
        self.timeout: float | None = None
        self.alarm: Callable[[], None] | None = None
        self._portal = portal
        self._running: Final[set[Ending]] = set()
        self.add: Callable[[Ending], None] = self._running.add
        self.discard = self._running.discard
        self._watch: Running | None = None
        self._lifespans = 0  # that are open
        self._chain: SignalChain | None = None  # set while we listen

    # The exchanges' side.

    def look(self) -> None:
        """Have each exchange look at itself."""
        for each in list(self._running):
            each.look()

    def _add_late(self, exchange: Ending) -> None:
        """An exchange begins in a shutdown."""
        self._running.add(exchange)
        self._keep_watch()

    def reason(self, error: BaseException) -> ServerShutdown | None:
        """What a handler meets when its exchange ended by `error`; None where that is no shutdown.

        Servers cancel what takes longer than their own graceful time.
        """
        if self.begun is None or isinstance(error, Exception):
            return None
        return ServerShutdown("the server is shutting down, and has cancelled the exchange")

    # The lifespan's side.

    def open(self, *, listen: bool) -> None:
        """A lifespan begins.

        Args:
            listen: whether to listen for signals.
        """
        if self._lifespans == 0:
            self.begun = None
            self.add = self._running.add
        self._lifespans += 1
        if listen and self._chain is None:
            self._chain = SignalChain(self.hear)
            self._chain.install()

    def close(self) -> None:
        """A lifespan is told to end. With the last one, what still runs is ended."""
        self._lifespans -= 1
        if self._lifespans:
            return
        if self._chain is not None:
            self._chain.remove()
            self._chain = None
        self._begin()
        self._end(list(self._running), "the server has shut down")

    # Its course.

    def hear(self) -> None:
        """A signal has come. Any thread, and from inside signal handlers."""
        self._portal.post(self._begin)
        if self.alarm is not None:
            self.alarm()

    def _begin(self) -> None:
        if self.begun is None:
            self.begun = monotonic()
            self.add = self._add_late
            self._keep_watch()

    def _keep_watch(self) -> None:
        if self._watch is None and self._running:
            self._watch = self._portal.spawn(self._end_in_time)

    async def _end_in_time(self) -> None:
        """End each exchange when its time is over, as long as there are any."""
        try:
            while True:
                left = self._end_due()
                if not self._running:
                    return
                await anyio.sleep(left)
        finally:
            self._watch = None

    def _end_due(self) -> float:
        """End those whose time is over; say when to look again, in seconds."""
        assert self.begun is not None, "only called in a shutdown"
        passed = monotonic() - self.begun
        left, due = LOOK, []
        for each in self._running:
            seconds = each.shutdown_timeout if self.timeout is None else self.timeout
            if seconds is None:
                continue
            if seconds <= passed:
                due.append(each)
            else:
                left = min(left, seconds - passed)
        self._end(due, f"the server is shutting down, and did not wait longer than {passed:.1f} s")
        return left

    def _end(self, exchanges: Iterable[Ending], reason: str) -> None:
        errors: dict[Request, ServerShutdown] = {}
        for each in exchanges:
            intake = each.intake
            if intake not in errors:
                errors[intake] = ServerShutdown(reason, intake.closing_headers)
                logger.warning("%s: %s", intake, reason)
            self.discard(each)
            each.shut_down(errors[intake])
