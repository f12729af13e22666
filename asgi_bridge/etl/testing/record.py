"""What a fake was sent, and how a test waits for it."""

import enum
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote

WAIT: Final = 10.0  # seconds


class Arrival(enum.Enum):
    """What has come of a request's body."""

    ARRIVING = "arriving"  # its end has not been seen yet
    COMPLETE = "complete"  # by its content-length, or by its last chunk
    CUT = "cut"  # the connection ended first
    UNREAD = "unread"  # the fake was ordered not to read it, or not all of it


@dataclass(slots=True)
class Received:
    """One request that a fake was sent; it grows while its body arrives.

    Attributes:
        method: GET, PUT and so on.
        raw_target: path and query, exactly as they were on the wire.
        headers: in the order they came, names in lower case.
        body: what has come of it.
        arrival: what has come of the whole.
        connection: a number of the connection that it came on; equal for requests on one.
    """

    method: str
    raw_target: str
    headers: tuple[tuple[str, str], ...]
    connection: int = 0
    body: bytearray = field(default_factory=bytearray, repr=False)  # may be long
    arrival: Arrival = Arrival.ARRIVING

    @property
    def raw_path(self) -> str:
        """The path as it was on the wire, without the query."""
        return self.raw_target.partition("?")[0]

    @property
    def path(self) -> str:
        """The path, percent-decoded once."""
        return unquote(self.raw_path)

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters, decoded as in a form; blank ones are kept."""
        return dict(parse_qsl(self.raw_target.partition("?")[2], keep_blank_values=True))

    def header(self, name: str) -> str | None:
        """A header's value, None where there is none; several are joined by commas."""
        values = [value for each, value in self.headers if each == name.lower()]
        return ", ".join(values) if values else None


class Records:
    """The requests of one fake. Threads of the fake add to it, the test's thread looks."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._all: list[Received] = []  # guarded by _changed

    def add(self, request: Received) -> None:
        """Note a request whose head has come."""
        with self._changed:
            self._all.append(request)
            self._changed.notify_all()

    def grow(self, request: Received, chunk: bytes) -> None:
        """Note some of a request's body."""
        with self._changed:
            request.body += chunk
            self._changed.notify_all()

    def arrived(self, request: Received, arrival: Arrival) -> None:
        """Note what a request has come to; the first word on it counts."""
        with self._changed:
            if request.arrival is Arrival.ARRIVING:
                request.arrival = arrival
            self._changed.notify_all()

    def clear(self) -> None:
        """Forget all requests."""
        with self._changed:
            self._all.clear()

    def copy(self) -> list[Received]:
        """All requests so far, the oldest first."""
        with self._changed:
            return list(self._all)

    def until(self, holds: Callable[[list[Received]], bool], timeout: float) -> list[Received]:
        """Wait until something holds of the requests, and return them.

        Raises:
            TimeoutError: it does not hold within `timeout` seconds; the message lists the requests.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while not holds(self._all):
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError(f"after {timeout} s the requests are: {self._all}")
            return list(self._all)
