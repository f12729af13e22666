"""One small tree of errors; each class says whose fault it is.

Generic code catches the builtin that each class also derives from: a client that went away is a
`ConnectionError`, a timeout is a `TimeoutError`, misuse is a `RuntimeError`.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus


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


# What frameworks raise out of a read when they are told of the disconnect: Starlette, Django and
# BlackSheep, and others of a like name. By name, since we import none of them.
_DISCONNECTS = frozenset(
    {"ClientDisconnect", "ClientDisconnected", "RequestAborted", "MessageAborted"}
)


def caused_by_disconnect(error: BaseException) -> bool:
    """Whether an exception is, or was raised because of, a client that has left.

    Frameworks replace our send's error by one of their own, or put it into a group, or have one for
    the `http.disconnect`; none is a failure. A group with anything else in it is one, though.
    """
    return _caused(error, _is_disconnect, {})


def tells_of_leaving(error: OSError) -> bool:
    """Whether what a server's send raised says that the client left; of ours, one alone does."""
    return isinstance(error, ClientDisconnected) or not isinstance(error, BridgeError)


def caused_by(error: BaseException, cause: BaseException) -> bool:
    """Whether an exception is `cause`, or was raised because of it and nothing else."""
    return _caused(error, lambda each: each is cause, {})


def _is_disconnect(error: BaseException) -> bool:
    return isinstance(error, ClientDisconnected) or type(error).__name__ in _DISCONNECTS


def _caused(
    error: BaseException, is_cause: Callable[[BaseException], bool], verdicts: dict[int, bool]
) -> bool:
    """Whether one of those is behind an exception, with what is known of exceptions by id.

    They form rings: whoever raises a group's only member from where the group was caught, as
    Starlette's BaseHTTPMiddleware does, makes the group the context of its own member. One that is
    still being looked at counts as no.
    """
    chain: list[int] = []
    verdict = False
    each: BaseException | None = error
    while each is not None:
        if is_cause(each):
            verdict = True
            break
        if id(each) in verdicts:
            verdict = verdicts[id(each)]
            break
        verdicts[id(each)] = False
        chain.append(id(each))
        if isinstance(each, BaseExceptionGroup):
            verdict = all(_caused(member, is_cause, verdicts) for member in each.exceptions)
            break
        each = each.__cause__ or each.__context__
    verdicts.update(dict.fromkeys(chain, verdict))
    return verdict


def phrase_of(status: int) -> str:
    """The standard phrase of a status, or the bare number where HTTP has none."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return str(status)
