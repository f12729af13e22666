"""The table of ways, pair by pair, and what counts as a stall."""

import pytest

from asgi_bridge.protocol.duplex import (
    MOST_DOUBLINGS,
    MOVED_SENDS,
    WAYS,
    Duplex,
    DuplexSignal,
    Way,
)

TIMEOUT = 0.2


def duplex_in(way: Way) -> Duplex:
    duplex = Duplex(TIMEOUT)
    if way is not Way.DIRECT:
        stall(duplex, sends=1)
    if way is Way.EMPTYING:
        duplex.sent(1 + 2 * MOVED_SENDS)
    assert duplex.way is way
    return duplex


def stall(duplex: Duplex, sends: int) -> bool:
    duplex.begin(sends, 10)
    return duplex.look(sends, 10)


def signal_to(duplex: Duplex, signal: DuplexSignal) -> None:
    match signal:
        case DuplexSignal.STALL:
            assert stall(duplex, sends=99)
        case DuplexSignal.OUTPUT_MOVED:
            duplex.sent(1 + 2 * MOVED_SENDS)
        case DuplexSignal.EMPTIED:
            duplex.emptied()


@pytest.mark.parametrize("way", Way)
@pytest.mark.parametrize("signal", DuplexSignal)
def test_every_pair(way: Way, signal: DuplexSignal) -> None:
    duplex = duplex_in(way)
    signal_to(duplex, signal)
    assert duplex.way is WAYS.get((way, signal), way)


@pytest.mark.parametrize(
    ("first", "second"),
    [((2, 10), (2, 10)), ((1, 10), (3, 10)), ((1, 10), (1, 9)), ((1, 10), (2, 10))],
    ids=["no send under way", "another send", "the reader has moved", "the send has ended"],
)
def test_no_stall(first: tuple[int, int], second: tuple[int, int]) -> None:
    duplex = Duplex(TIMEOUT)
    duplex.begin(*first)
    assert not duplex.look(*second)
    assert duplex.way is Way.DIRECT


def test_what_was_seen_before_a_wake_does_not_count() -> None:
    duplex = Duplex(TIMEOUT)
    duplex.begin(1, 10)
    duplex.look_again()
    assert not duplex.look(1, 10)
    assert duplex.look(1, 10)


def test_only_the_first_look_begins() -> None:
    duplex = Duplex(TIMEOUT)
    duplex.begin(1, 10)
    duplex.begin(1, 8)
    assert not duplex.look(1, 8)


def test_a_few_sends_more_are_no_sign_of_a_reader() -> None:
    duplex = duplex_in(Way.SPOOLING)
    duplex.sent(2 * MOVED_SENDS)
    assert (duplex.way, duplex.timeout) == (Way.SPOOLING, TIMEOUT)


def test_the_timeout_doubles_with_each_mistake_up_to_a_bound() -> None:
    duplex = Duplex(TIMEOUT)
    timeouts = []
    for mistake in range(MOST_DOUBLINGS + 2):
        sends = 1 + mistake * 2 * MOVED_SENDS
        stall(duplex, sends)
        duplex.sent(sends + 2 * MOVED_SENDS)
        timeouts.append(duplex.timeout)
    assert timeouts == [0.4, 0.8, 1.6, 3.2, 3.2, 3.2]
