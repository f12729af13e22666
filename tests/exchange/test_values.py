"""The values of an exchange: limits, and errors with what they are."""

import errno
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
    is_departure,
    phrase_of,
    tells_of_leaving,
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


def framework_class() -> type[Exception]:
    """A class of a framework's that says that the client has left; Starlette need not be here."""
    kind = type("ClientDisconnect", (Exception,), {})
    kind.__module__ = "starlette.requests"
    return kind


def raised_from(
    kind: type[Exception], cause: BaseException | None, context: BaseException | None
) -> Exception:
    error = kind("the framework's own")
    error.__cause__ = cause
    error.__context__ = context
    return error


GONE = ClientDisconnected("gone")
THEIRS = framework_class()


def only_member_raised_again(kind: type[Exception]) -> Exception:
    """What Starlette's BaseHTTPMiddleware raises: its group is the context of its own member."""
    member = kind("the only member")
    try:
        try:
            raise ExceptionGroup("x", [member])
        except ExceptionGroup as group:
            raise group.exceptions[0]  # noqa: B904  # the context is the point
    except kind as error:
        return error


@pytest.mark.parametrize(
    ("error", "departure"),
    [
        (GONE, True),
        (THEIRS(), True),
        (raised_from(THEIRS, GONE, None), True),
        (raised_from(THEIRS, None, GONE), True),
        (raised_from(THEIRS, None, FileNotFoundError("the application's")), False),
        (raised_from(ValueError, GONE, None), False),
        (raised_from(NameError, None, GONE), False),
        (ExceptionGroup("x", [GONE, THEIRS()]), True),
        (ExceptionGroup("x", [ValueError(), GONE]), False),
        (ConnectionResetError("another's"), False),
        (only_member_raised_again(THEIRS), True),
        (only_member_raised_again(ValueError), False),
        (type("ClientDisconnect", (Exception,), {})("of another module"), False),
        (type("RequestAborted", (Exception,), {})("the application's"), False),
    ],
    ids=[
        *("itself", "a framework's", "a framework's, from it", "a framework's, during it"),
        *("a framework's, during another failure", "another, from it", "another, during it"),
        *("a group of nothing else", "a group with another", "another's", "a ring"),
        *("another ring", "of the same name", "of another name"),
    ],
)
def test_what_only_says_that_the_client_has_left(error: BaseException, departure: bool) -> None:
    assert is_departure(error) is departure


def test_what_a_framework_makes_of_another_failure_of_ours() -> None:
    late = WriteTimeout("late")
    assert is_departure(late, of=late)
    assert is_departure(raised_from(THEIRS, None, late), of=late)
    assert not is_departure(THEIRS(), of=late)
    assert not is_departure(GONE, of=late)


@pytest.mark.parametrize(
    ("error", "promised", "leaving"),
    [
        (ClientDisconnected("ours"), False, True),
        (WriteTimeout("ours"), True, False),
        (BrokenPipeError("it has left"), False, True),
        (OSError(errno.ECONNRESET, "reset"), False, True),
        (OSError(errno.ENOSPC, "the disk is full"), True, False),
        (OSError("says nothing"), False, False),
        (OSError("says nothing"), True, True),
        (type("Gone", (OSError,), {})("the server's own"), True, True),
        (type("Gone", (OSError,), {})("the server's own"), False, False),
        (TimeoutError("somebody's"), True, False),
    ],
)
def test_what_a_server_says_of_leaving(error: OSError, promised: bool, leaving: bool) -> None:
    assert tells_of_leaving(error, promised=promised) is leaving
