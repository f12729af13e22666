"""RequestBody: what comes of one body, whole scripts of messages at a time."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_bridge import BodyIncomplete, BodyTooLarge, ClientDisconnected
from asgi_bridge.protocol.request import BodyPhase, RequestBody
from asgi_bridge.testing import request
from asgi_bridge.types import Message

from .machines import DISCONNECT_MESSAGE


def play(
    messages: Iterable[Message], expected: int | None = None, limit: int | None = None
) -> tuple[list[bytes], RequestBody]:
    """Feed messages; what each of them brought, and what the body has come to."""
    followed = RequestBody(expected, limit)
    return [followed.feed(message) for message in messages], followed


def more(chunk: bytes) -> Message:
    return request(chunk, more_body=True)


def test_body_that_nobody_has_fed_is_open() -> None:
    followed = RequestBody(3, 5)
    assert (followed.phase, followed.coming, followed.received) == (BodyPhase.OPEN, True, 0)
    assert (followed.expected, followed.limit, followed.error) == (3, 5, None)


@pytest.mark.parametrize("expected", [None, 0, 4, 5], ids=str)
def test_body_of_its_length_or_more_ends(expected: int | None) -> None:
    """More than declared is the server's to refuse; a promise was not broken."""
    brought, followed = play([more(b"ab"), more(b""), request(b"cde")], expected)
    assert brought == [b"ab", b"", b"cde"]
    assert (followed.phase, followed.received) == (BodyPhase.ENDED, 5)
    assert followed.error is None
    assert not followed.coming


@pytest.mark.parametrize("message", [request(b""), {"type": "http.request"}], ids=str)
def test_missing_keys_mean_an_empty_last_message(message: Message) -> None:
    brought, followed = play([message], 0)
    assert brought == [b""]
    assert followed.phase is BodyPhase.ENDED


def test_chunk_without_more_body_is_the_last() -> None:
    brought, followed = play([{"type": "http.request", "body": b"ab"}, request(b"cd")])
    assert brought == [b"ab", b""]
    assert (followed.phase, followed.received) == (BodyPhase.ENDED, 2)


def test_empty_chunks_carry_nothing_and_end_nothing() -> None:
    brought, followed = play([more(b""), more(b""), more(b"a"), more(b"")], 1)
    assert brought == [b"", b"", b"a", b""]
    assert (followed.phase, followed.received) == (BodyPhase.OPEN, 1)


@pytest.mark.parametrize("messages", [[request(b"")], [more(b"ab"), request(b"c")]], ids=str)
def test_body_short_of_its_length_is_broken(messages: list[Message]) -> None:
    brought, followed = play(messages, 4)
    assert b"".join(brought) == b"".join(message["body"] for message in messages)
    assert followed.phase is BodyPhase.BROKEN
    assert isinstance(followed.error, BodyIncomplete)
    assert (followed.error.received, followed.error.expected) == (followed.received, 4)


def test_chunk_is_handed_on_as_it_is() -> None:
    chunk = bytes(1000)
    brought, _ = play([more(chunk)], 5000, 5000)
    assert brought[0] is chunk


@pytest.mark.parametrize("last", [False, True])
def test_body_of_just_the_limit_is_accepted(last: bool) -> None:
    brought, followed = play([more(b"ab"), request(b"cd", more_body=not last)], limit=4)
    assert brought == [b"ab", b"cd"]
    assert followed.phase is (BodyPhase.ENDED if last else BodyPhase.OPEN)
    assert followed.error is None


def test_what_is_past_the_limit_is_counted_and_dropped() -> None:
    brought, followed = play([more(b"abc"), more(b"de"), more(b""), more(b"f")], limit=4)
    assert brought == [b"abc", b"", b"", b""]
    assert (followed.phase, followed.received) == (BodyPhase.REFUSED, 6)
    assert isinstance(followed.error, BodyTooLarge)
    assert followed.error.limit == 4
    assert followed.coming  # and so worth draining


@pytest.mark.parametrize("expected", [None, 6, 100], ids=str)
def test_refused_body_that_ends_stays_refused_for_its_reader(expected: int | None) -> None:
    _, followed = play([more(b"abcde"), request(b"f")], expected, 4)
    assert followed.phase is BodyPhase.BROKEN
    assert isinstance(followed.error, BodyTooLarge)
    assert not followed.coming  # nothing is left to drain, however short of its length


def test_last_message_past_the_limit_leaves_nothing_to_come() -> None:
    brought, followed = play([request(b"abcde")], limit=4)
    assert brought == [b""]
    assert (followed.phase, followed.coming) == (BodyPhase.BROKEN, False)
    assert isinstance(followed.error, BodyTooLarge)


def test_disconnect_before_the_end_is_an_abort() -> None:
    brought, followed = play([more(b"abc"), DISCONNECT_MESSAGE])
    assert brought == [b"abc", b""]
    assert followed.phase is BodyPhase.GONE
    assert isinstance(followed.error, ClientDisconnected)
    assert str(followed.error) == "the client went away after 3 bytes of the body"


def test_disconnect_after_all_declared_bytes_but_before_the_end_is_an_abort() -> None:
    """Only a message that says so ends a body, whatever its length was to be."""
    _, followed = play([more(b"abc"), DISCONNECT_MESSAGE], 3)
    assert isinstance(followed.error, ClientDisconnected)


@pytest.mark.parametrize("last", [request(b"abc"), request(b"a"), request(b"abcdef")], ids=str)
def test_disconnect_after_the_end_changes_no_outcome(last: Message) -> None:
    _, followed = play([last], 3, 5)
    error = followed.error
    followed.feed(DISCONNECT_MESSAGE)
    assert followed.phase is BodyPhase.GONE
    assert followed.error is error


def test_disconnect_is_latched() -> None:
    _, followed = play([more(b"a"), DISCONNECT_MESSAGE])
    error = followed.error
    assert [followed.feed(m) for m in (more(b"b"), request(b"c"), DISCONNECT_MESSAGE)] == [b""] * 3
    assert (followed.phase, followed.received, followed.error) == (BodyPhase.GONE, 1, error)


@pytest.mark.parametrize("kind", ["http.response.body", "http.x-future", "websocket.receive"])
def test_type_without_a_rule_brings_nothing(kind: str) -> None:
    brought, followed = play([more(b"a"), {"type": kind, "body": b"no"}])
    assert brought == [b"a", b""]
    assert (followed.phase, followed.received) == (BodyPhase.OPEN, 1)


def test_messages_are_not_edited() -> None:
    message = more(b"abc")
    play([message], 5, 2)
    assert message == more(b"abc")


@given(chunks=st.lists(st.binary(max_size=20)), expected=st.none() | st.integers(0, 100))
def test_body_does_not_depend_on_its_chunking(chunks: list[bytes], expected: int | None) -> None:
    whole = b"".join(chunks)
    brought, followed = play([*map(more, chunks), request(b"")], expected)
    _, at_once = play([request(whole)], expected)
    assert b"".join(brought) == whole
    assert (followed.phase, followed.received) == (at_once.phase, at_once.received)
    assert str(followed.error) == str(at_once.error)
