"""One small tree of errors; each class says whose fault it is.

Generic code catches the builtin that each class also derives from: a client that went away is a
`ConnectionError`, a timeout is a `TimeoutError`, misuse is a `RuntimeError`.
"""

import errno
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final


class BridgeError(Exception):
    """Everything this package raises on purpose."""


# The client's fault, or nobody's.


class ClientDisconnected(BridgeError, ConnectionError):
    """The client went away before the exchange was over; nothing the application did."""


class ExchangeOver(BridgeError, ConnectionAbortedError):
    """The exchange ended on this side: cancelled, shut down, or answered and over."""

    status_code = 503


class ServerShutdown(ExchangeOver):
    """The server shuts down, and the time that running exchanges have is over.

    Args:
        reason: what the text says.
        headers: further headers of the response, where none was sent.
    """

    def __init__(self, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.headers = dict(headers or {})


class BodyIncomplete(BridgeError, EOFError):
    """The request body ended before its declared Content-Length.

    Args:
        received: bytes that arrived.
        expected: bytes that the Content-Length header announced.
    """

    status_code = 400

    def __init__(self, received: int, expected: int) -> None:
        super().__init__(f"the body ended after {received} of the declared {expected} bytes")
        self.received = received
        self.expected = expected


class BodyTooLarge(BridgeError, ValueError):
    """The request body is longer than `Limits` allow.

    Args:
        limit: the bound that was passed, in bytes.
    """

    status_code = 413

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is longer than the limit of {limit} bytes")
        self.limit = limit


class SpoolFull(BridgeError):
    """The request body found no more room on disk: `Limits.spool_max_bytes`, or a full disk."""

    status_code = 413


class ReadTimeout(BridgeError, TimeoutError):
    """No request bytes came for `Limits.read_timeout` seconds."""

    status_code = 408


class BodyTooSlow(ReadTimeout):
    """The request body came at less than `Limits.min_body_rate`."""


class TotalTimeout(BridgeError, TimeoutError):
    """The whole exchange took longer than `Limits.total_timeout`."""

    status_code = 503


class WriteTimeout(BridgeError, TimeoutError):
    """The client took no response bytes for `Limits.write_timeout` seconds."""


class Overloaded(BridgeError):
    """The worker pool and its backlog are full; the request was not started.

    Args:
        retry_after: seconds after which a new try makes sense; sent as `retry-after`.
    """

    status_code = 503

    def __init__(self, retry_after: int = 1) -> None:
        super().__init__(f"the worker pool and its backlog are full; retry in {retry_after} s")
        self.retry_after = retry_after
        self.headers = {"retry-after": str(retry_after)}


# The application's fault.


class HTTPError(BridgeError):
    """A status that a handler answers with by raising it, before its first byte.

    Args:
        status: the response status, 400 to 599.
        detail: the body, sent as text/plain; the status' standard phrase when left out.
        headers: further response headers.

    Raises:
        ValueError: the status is not an error status.
    """

    def __init__(
        self, status: int, detail: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        if not 400 <= status <= 599:
            raise ValueError(f"an HTTPError's status is 400 to 599, not {status}")
        self.status_code = status
        self.detail = phrase_of(status) if detail is None else detail
        self.headers = dict(headers or {})
        super().__init__(f"{status} {self.detail}")


class BodyAlreadyClaimed(BridgeError, RuntimeError):
    """The request body has a reader already, or the application has read from it itself."""


class BridgeNotInstalled(BridgeError, RuntimeError):
    """`open_body` was called for a scope that no BridgeMiddleware has seen."""


class ReceiveReplaced(BridgeError, RuntimeError):
    """`open_body` was given a scope alone, and a middleware gives its application other bytes.

    The scope's headers are not those of the request any more, so the body that belongs to them
    comes from the `receive` of that middleware: `open_body(scope, receive)` reads it.
    """


class WrongThread(BridgeError, RuntimeError):
    """A call that blocks was made on the event loop's own thread."""


class ResponseStarted(BridgeError, RuntimeError):
    """Status or headers were changed after the first byte had been handed over."""


class ResponseOrderError(BridgeError, RuntimeError):
    """The application sent messages in an order that ASGI does not allow.

    Args:
        phase: how far the response had got.
        type: the type of the message that came.
    """

    def __init__(self, phase: str, type: str) -> None:
        super().__init__(f"{type!r} is not allowed while the response is {phase}")
        self.phase = phase
        self.type = type


class ResponseIncomplete(BridgeError, RuntimeError):
    """The application returned, or ended its body, before its response was complete."""


class LengthMismatch(BridgeError, ValueError):
    """A response body is not as long as its content-length says.

    Args:
        sent: bytes that the application made of it.
        declared: bytes that the header promises.
    """

    def __init__(self, sent: int, declared: int) -> None:
        super().__init__(f"the response has {sent} bytes, but its content-length is {declared}")
        self.sent = sent
        self.declared = declared


# What frameworks raise when they are told of the disconnect: module and name of each class, since
# we import none of them. A class of the same name in another module is somebody's own failure.
_DISCONNECTS: Final = frozenset(
    {
        ("starlette.requests", "ClientDisconnect"),
        ("django.core.exceptions", "RequestAborted"),
        ("blacksheep.exceptions", "MessageAborted"),
    }
)

# What an operating system says of a peer that is gone. Any other number is somebody's own failure.
_OF_A_PEER: Final = frozenset(
    {
        errno.EPIPE,
        errno.ECONNRESET,
        errno.ECONNABORTED,
        errno.ESHUTDOWN,
        errno.ENOTCONN,
        errno.ETIMEDOUT,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
    }
)


def is_departure(error: BaseException, *, of: BaseException | None = None) -> bool:
    """Whether an exception only says that the client has left.

    It is our own, or that of a framework which was told of the disconnect by us, or a group of
    nothing else. It is none where it came up while something else failed: a framework that takes
    each OSError for a disconnect (Starlette, where it is told of ASGI 2.4) hides a failure of the
    application's in one.

    Only for whoever knows that the client has left, and has told the application so.

    Args:
        error: the exception.
        of: what stands for the leaving, instead of any `ClientDisconnected`: an OSError of ours
            with another reason, of which frameworks make the same.
    """
    return _is_departure(error, of, set())


def _is_departure(error: BaseException, of: BaseException | None, seen: set[int]) -> bool:
    """`is_departure`, with the exceptions that are being looked at, by id.

    Exceptions form rings: whoever raises a group's only member from where the group was caught, as
    Starlette does, makes the group the context of its own member.
    """
    if id(error) in seen or (isinstance(error, ClientDisconnected) if of is None else error is of):
        return True
    seen.add(id(error))
    if isinstance(error, BaseExceptionGroup):
        return all(_is_departure(each, of, seen) for each in error.exceptions)
    kind = type(error)
    if (kind.__module__, kind.__qualname__) not in _DISCONNECTS:
        return False
    before = error.__cause__ or error.__context__
    return of is None if before is None else _is_departure(before, of, seen)


def behind_departure(error: BaseException) -> OSError | None:
    """The OSError that a framework has taken for a disconnect, and replaced by its own error."""
    kind = type(error)
    if (kind.__module__, kind.__qualname__) not in _DISCONNECTS:
        return None
    before = error.__cause__ or error.__context__
    return before if isinstance(before, OSError) else None


def tells_of_leaving(error: OSError, *, promised: bool) -> bool:
    """Whether what a server's send raised says that the client left.

    Args:
        error: what it raised; of ours, `ClientDisconnected` alone does.
        promised: whether the server says so with an OSError of any kind (ASGI HTTP 2.4). Even
            there a full disk, in some middleware in between, is none.
    """
    if isinstance(error, BridgeError):
        return isinstance(error, ClientDisconnected)
    if isinstance(error, ConnectionError) or error.errno in _OF_A_PEER:
        return True
    # what a server may raise is a class of its own; TimeoutError and its like are somebody else's
    own = type(error) is OSError or type(error).__module__ != "builtins"
    return promised and own and error.errno is None


def phrase_of(status: int) -> str:
    """The standard phrase of a status, or the bare number where HTTP has none."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return str(status)
