"""The values of an exchange: limits, and errors with what they are."""

from typing import Any

import pytest

from asgi_bridge import (
    BodyAlreadyClaimed,
    BodyIncomplete,
    BodyTooLarge,
    BridgeError,
    BridgeNotInstalled,
    ClientDisconnected,
    HTTPError,
    Limits,
    Overloaded,
    ReadTimeout,
    ResponseStarted,
    WriteTimeout,
    WrongThread,
)
from asgi_bridge.errors import (
    ExchangeOver,
    LengthMismatch,
    ResponseIncomplete,
    ResponseOrderError,
    caused_by_disconnect,
    phrase_of,
)

# Limits.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prefetch_bytes": 0}, "prefetch_bytes must be at least 1, got 0"),
        ({"message_bytes": -1}, "message_bytes must be at least 1, got -1"),
        ({"read_timeout": -0.5}, "read_timeout must not be negative, got -0.5"),
        ({"stall_timeout": 0}, "stall_timeout must be more than 0"),
        ({"write_timeout": 0}, "write_timeout must be more than 0"),
        ({"drain_bytes": -1}, "drain_bytes must not be negative, got -1"),
        ({"duplex": "both"}, "duplex is 'auto', 'full' or 'half', not 'both'"),
        ({"max_body_bytes": -1}, "max_body_bytes must not be negative, got -1"),
    ],
)
def test_limits_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Limits(**options)


def test_limits_may_be_none_or_zero() -> None:
    limits = Limits(read_timeout=None, write_timeout=None, max_body_bytes=None, drain_bytes=0)
    assert (limits.read_timeout, limits.drain_bytes) == (None, 0)
    assert limits == Limits(read_timeout=None, write_timeout=None, drain_bytes=0)


# Errors.


@pytest.mark.parametrize(
    ("error", "builtin", "text"),
    [
        (ClientDisconnected("gone"), ConnectionError, "gone"),
        (ExchangeOver("over"), ConnectionError, "over"),
        (BodyIncomplete(1, 2), EOFError, "the body ended after 1 of the declared 2 bytes"),
        (BodyTooLarge(9), ValueError, "the body is longer than the limit of 9 bytes"),
        (ReadTimeout("late"), TimeoutError, "late"),
        (WriteTimeout("late"), TimeoutError, "late"),
        (Overloaded(3), Exception, "the worker pool and its backlog are full; retry in 3 s"),
        (HTTPError(404), Exception, "404 Not Found"),
        (BodyAlreadyClaimed("x"), RuntimeError, "x"),
        (BridgeNotInstalled("x"), RuntimeError, "x"),
        (WrongThread("x"), RuntimeError, "x"),
        (ResponseStarted("x"), RuntimeError, "x"),
        (
            ResponseOrderError("held", "http.response.start"),
            RuntimeError,
            "'http.response.start' is not allowed while the response is held",
        ),
        (ResponseIncomplete("x"), RuntimeError, "x"),
        (
            LengthMismatch(1, 2),
            ValueError,
            "the response has 1 bytes, but its content-length is 2",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_error_is_what_generic_code_catches(
    error: BridgeError, builtin: type[Exception], text: str
) -> None:
    assert isinstance(error, BridgeError)
    assert isinstance(error, builtin)
    assert str(error) == text


def test_errors_carry_their_facts() -> None:
    assert (BodyIncomplete(1, 2).received, BodyIncomplete(1, 2).expected) == (1, 2)
    assert BodyTooLarge(9).limit == 9
    assert Overloaded(3).headers == {"retry-after": "3"}
    assert (LengthMismatch(1, 2).sent, LengthMismatch(1, 2).declared) == (1, 2)
    order = ResponseOrderError("held", "x")
    assert (order.phase, order.type) == ("held", "x")
    mine = HTTPError(401, "who?", {"a": "b"})
    assert (mine.status_code, mine.detail, mine.headers) == (401, "who?", {"a": "b"})


@pytest.mark.parametrize("status", [200, 399, 600])
def test_status_that_is_no_error(status: int) -> None:
    with pytest.raises(ValueError, match=f"400 to 599, not {status}"):
        HTTPError(status)


def test_phrase_of_a_status() -> None:
    assert (phrase_of(404), phrase_of(599)) == ("Not Found", "599")


def raised_from(cause: BaseException | None, context: BaseException | None) -> Exception:
    error = ValueError("the framework's own")
    error.__cause__ = cause
    error.__context__ = context
    return error


def circle() -> Exception:
    one, two = ValueError("one"), ValueError("two")
    one.__context__, two.__context__ = two, one
    return one


GONE = ClientDisconnected("gone")


def only_member_raised_again() -> Exception:
    """What Starlette's BaseHTTPMiddleware raises: its group is the context of its own member."""
    member = ValueError("the only member")
    try:
        try:
            raise ExceptionGroup("x", [member])
        except ExceptionGroup as group:
            raise group.exceptions[0]  # noqa: B904  # the context is the point
    except ValueError as error:
        return error


@pytest.mark.parametrize(
    ("error", "caused"),
    [
        (GONE, True),
        (raised_from(GONE, None), True),
        (raised_from(None, GONE), True),
        (ExceptionGroup("x", [GONE, raised_from(None, GONE)]), True),
        (ExceptionGroup("x", [ValueError(), raised_from(None, GONE)]), False),
        (ConnectionResetError("another's"), False),
        (raised_from(None, None), False),
        (ExceptionGroup("x", [ValueError()]), False),
        (circle(), False),
        (only_member_raised_again(), False),
        (type("ClientDisconnect", (Exception,), {})("a framework's own"), True),
        (type("MessageAborted", (Exception,), {})("BlackSheep's"), True),
        (ExceptionGroup("x", [raised_from(GONE, None), raised_from(None, GONE)]), True),
    ],
    ids=[
        *("itself", "cause", "context", "in a group", "in a group with another"),
        *("another's", "no link", "another group", "circle"),
        *("a group's own member", "a framework's", "another framework's", "in a group twice"),
    ],
)
def test_what_a_disconnect_has_caused(error: BaseException, caused: bool) -> None:
    assert caused_by_disconnect(error) is caused
