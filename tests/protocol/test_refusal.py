"""refusal_of: what a client is told about a failure, and what it is not told."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import pytest

from asgi_bridge import (
    BodyAlreadyClaimed,
    BodyIncomplete,
    BodyTooLarge,
    BridgeError,
    ClientDisconnected,
    ExchangeOver,
    HTTPError,
    LengthMismatch,
    Overloaded,
    ReadTimeout,
    ResponseOrderError,
    WriteTimeout,
)
from asgi_bridge.protocol.refusal import Refusal, refusal_of


class ForeignError(Exception):
    """As frameworks have it: a status, a detail, headers, whatever they hold."""

    def __init__(self, status_code: Any, detail: Any = None, headers: Any = None) -> None:
        super().__init__("secret")
        self.status_code = status_code
        self.detail = detail
        self.headers = headers


def plain(
    status: int, text: str, extra: Mapping[str, str] | None = None, *, unexpected: bool = False
) -> Refusal:
    """The refusal in text/plain."""
    headers = {
        "content-type": "text/plain; charset=utf-8",
        "content-length": str(len(text.encode())),
        **(extra or {}),
    }
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Refusal(status, raw, text.encode(), unexpected)


INTERNAL = plain(500, "Internal Server Error", unexpected=True)


@pytest.mark.parametrize(
    ("error", "refusal"),
    [
        (HTTPError(404), plain(404, "Not Found")),
        (HTTPError(400, ""), plain(400, "")),
        (HTTPError(422, "größer als 10 €"), plain(422, "größer als 10 €")),
        (HTTPError(599), plain(599, "599")),
        (HTTPError(401, "who?", {"X-Why": "a"}), plain(401, "who?", {"x-why": "a"})),
        (HTTPError(400, "no", {"x-name": "café"}), plain(400, "no", {"x-name": "café"})),
        (ForeignError(403), plain(403, "Forbidden")),
        (ForeignError(400, "bad"), plain(400, "bad")),
        (ForeignError(503, "no", {"Retry-After": "5"}), plain(503, "no", {"retry-after": "5"})),
    ],
    ids=str,
)  # fmt: skip
def test_exception_that_stands_for_a_status(error: Exception, refusal: Refusal) -> None:
    assert refusal_of(error) == refusal


@pytest.mark.parametrize(
    "status", [True, False, "404", 404.0, None, 0, -1, 200, 302, 399, 600, 10**9], ids=repr
)
def test_any_other_status_code_is_no_status(status: Any) -> None:
    assert refusal_of(ForeignError(status, "secret", {"x-secret": "1"})) == INTERNAL


@pytest.mark.parametrize(
    "error", [ValueError("secret"), KeyError("secret"), OSError(2, "secret"), Exception()], ids=repr
)
def test_exception_without_a_status_says_nothing_of_its_cause(error: Exception) -> None:
    assert refusal_of(error) == INTERNAL


@pytest.mark.parametrize("detail", [None, 5, b"bytes", {"loc": ["a"]}, ["a"]], ids=repr)
def test_detail_that_is_no_text_is_left_out(detail: Any) -> None:
    assert refusal_of(ForeignError(422, detail)) == plain(422, HTTPStatus(422).phrase)


@pytest.mark.parametrize("headers", [None, "a: b", 5, [("x-a", "1")], [(b"x-a", b"1")]], ids=repr)
def test_headers_that_are_no_mapping_are_left_out(headers: Any) -> None:
    assert refusal_of(ForeignError(400, "bad", headers)) == plain(400, "bad")


@pytest.mark.parametrize(
    "headers",
    [
        {"x-a": "1\r\nx-c: 3"},
        {b"x-a": b"1"},
        {"x-a": 1},
        {"x-a": None},
        {5: "x"},
        {"x-a": "€"},
        {"x a": ""},
    ],
    ids=repr,
)
def test_header_that_cannot_be_sent_is_left_out(headers: Any) -> None:
    """What is odd about an exception must not hide the status that it stands for."""
    sent = {**headers, "x-b": "2"}
    assert refusal_of(ForeignError(400, "bad", sent)) == plain(400, "bad", {"x-b": "2"})


@pytest.mark.parametrize("name", ["content-type", "Content-Type"])
def test_content_type_of_the_exception_is_the_only_one(name: str) -> None:
    refusal = refusal_of(HTTPError(400, '{"error": 1}', {name: "application/json"}))
    assert refusal == plain(400, '{"error": 1}', {"content-type": "application/json"})


def test_content_length_is_that_of_the_body_sent() -> None:
    refusal = refusal_of(ForeignError(400, "bad", {"Content-Length": "99", "x-a": "1"}))
    assert refusal == plain(400, "bad", {"x-a": "1"})


def test_headers_of_the_exception_are_not_edited() -> None:
    headers = {"X-A": "1"}
    refusal_of(ForeignError(400, "bad", headers)).headers.append((b"x-b", b"2"))
    assert headers == {"X-A": "1"}
    assert refusal_of(ForeignError(400, "bad", headers)) == plain(400, "bad", {"x-a": "1"})


def test_text_that_utf_8_cannot_encode_is_still_sent() -> None:
    """A lone surrogate, such as a file name's from `os.listdir`."""
    refusal = refusal_of(HTTPError(404, "no file \udcff"))
    assert (refusal.status, refusal.unexpected) == (404, False)
    assert refusal.body == b"no file ?"


OURS: list[tuple[BridgeError, Refusal]] = [
    (BodyIncomplete(3, 10), plain(400, "Bad Request")),
    (BodyTooLarge(10), plain(413, HTTPStatus(413).phrase)),
    (ReadTimeout("no request bytes for 60 s"), plain(408, "Request Timeout")),
    (ExchangeOver("the worker pool is closed"), plain(503, "Service Unavailable")),
    (Overloaded(7), plain(503, "Service Unavailable", {"retry-after": "7"})),
    (ClientDisconnected("secret"), INTERNAL),
    (WriteTimeout("secret"), INTERNAL),
    (BodyAlreadyClaimed("secret"), INTERNAL),
    (ResponseOrderError("complete", "secret"), INTERNAL),
    (LengthMismatch(3, 10), INTERNAL),
]


@pytest.mark.parametrize(("error", "refusal"), OURS, ids=lambda value: type(value).__name__)
def test_our_own_errors_say_no_more_than_their_status(error: BridgeError, refusal: Refusal) -> None:
    assert refusal_of(error) == refusal


def test_detail_on_one_of_our_errors_is_not_sent() -> None:
    class Telling(ReadTimeout):
        detail = "secret"

    assert refusal_of(Telling()) == plain(408, "Request Timeout")
