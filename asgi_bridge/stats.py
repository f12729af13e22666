"""What one exchange came to, for logs and metrics."""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How an exchange ended."""

    COMPLETE = "complete"  # the response went out whole
    CLIENT_GONE = "client gone"  # the client left before that
    FAILED = "failed"  # the application raised, or returned too early
    SHUT_DOWN = "shut down"  # the server shut down, and it had to end before that
    CANCELLED = "cancelled"  # the server, or something around us, cancelled it


@dataclass(frozen=True, slots=True)
class ExchangeStats:
    """One exchange, as `BridgeMiddleware(on_exchange_end=...)` is told of it.

    Attributes:
        method: the request's method.
        path: its path, percent-decoded.
        status: the status whose start has been released to the server, None where none was.
        received_bytes: request body bytes taken from the server.
        sent_bytes: response body bytes passed on to the server.
        duration: seconds from the call of the application to its end.
        outcome: how it ended.
    """

    method: str
    path: str
    status: int | None
    received_bytes: int
    sent_bytes: int
    duration: float
    outcome: Outcome
