"""What a request's headers say about its body, and what a channel's watermarks may be."""

import pytest

from asgi_bridge import Watermarks
from asgi_bridge.protocol.request import Framing, announces_body, framing_of
from asgi_bridge.testing import scope_for


@pytest.mark.parametrize(
    ("value", "length"),
    [
        (b"0", 0),
        (b"1024", 1024),
        (b"00012", 12),
        (b"9" * 18, 10**18 - 1),
        (b"", None),
        (b"-1", None),
        (b"+1", None),
        (b" 1", None),
        (b"1_000", None),
        (b"1, 1", None),
        (b"0x10", None),
        (b"\xb2", None),  # a superscript two in Latin-1: a digit to str, none to HTTP
        (b"9" * 19, None),  # no body is that long
        (b"9" * 5000, None),  # and int() would refuse that
    ],
)
def test_length_is_a_number_or_absent(value: bytes, length: int | None) -> None:
    assert framing_of([(b"content-length", value)]) == Framing(length, expects_continue=False)


@pytest.mark.parametrize(
    ("value", "expects"),
    [(b"100-continue", True), (b"100-Continue", True), (b"", False), (b"200-ok", False)],
)
def test_expectation_is_100_continue_or_none(value: bytes, expects: bool) -> None:
    assert framing_of([(b"expect", value)]) == Framing(None, expects_continue=expects)


def test_other_headers_say_nothing() -> None:
    headers = [
        (b"host", b"example"),
        (b"x-content-length", b"5"),
        (b"transfer-encoding", b"chunked"),
    ]
    assert framing_of(headers) == framing_of([]) == Framing(None, expects_continue=False)


def test_length_and_expectation_together() -> None:
    headers = ((b"expect", b"100-continue"), (b"host", b"a"), (b"content-length", b"7"))
    assert framing_of(iter(headers)) == Framing(7, expects_continue=True)


@pytest.mark.parametrize(("last", "announced"), [(b"0", False), (b"6", True)])
def test_of_two_lengths_the_last_one_counts(last: bytes, announced: bool) -> None:
    headers = [
        (b"transfer-encoding", b"chunked"),
        (b"content-length", b"3"),
        (b"content-length", last),
    ]
    assert announces_body(scope_for(headers=headers)) is announced
    assert framing_of(headers).length == int(last)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (1, 2), (0, 10)])
def test_low_may_be_anything_below_high(low: int, high: int) -> None:
    marks = Watermarks(high=high, low=low)
    assert (marks.low, marks.high) == (low, high)


@pytest.mark.parametrize(("low", "high"), [(0, 0), (1, 1), (2, 1), (-1, 1), (-2, -1)])
def test_other_watermarks_are_refused(low: int, high: int) -> None:
    with pytest.raises(ValueError, match=f"need 0 <= low < high, got low={low}, high={high}"):
        Watermarks(high=high, low=low)


def test_default_watermarks_are_valid_and_equal() -> None:
    assert Watermarks() == Watermarks()
    assert 0 < Watermarks().low < Watermarks().high
