"""ByteChannel on one thread: wakes are calls, which are recorded."""

from collections import deque
from collections.abc import Callable

import pytest

from asgi_bridge import Watermarks
from asgi_bridge.crossing.body_channel import ByteChannel
from asgi_bridge.crossing.channel import ChannelStatistics
from asgi_bridge.crossing.ending import EndOfStream

SENDER, RECEIVER = "sender", "receiver"


class Recorded:
    """A channel of bytes, and which end it has woken, in order."""

    def __init__(self, high: int = 8, low: int = 2) -> None:
        self.woken: list[str] = []
        self.channel = ByteChannel[bytes](
            Watermarks(high=high, low=low),
            wake_sender=lambda: self.woken.append(SENDER),
            wake_receiver=lambda: self.woken.append(RECEIVER),
        )

    def put(self, *chunks: bytes) -> list[bool]:
        return [self.channel.put_nowait(chunk, len(chunk)) for chunk in chunks]

    def filled(self) -> "Recorded":
        """Stop the sender: 8 bytes in two chunks."""
        assert self.put(b"abcd", b"efgh") == [True, False]
        return self


class BrokenOff(Exception):
    """What a test ends a channel with."""


# Data.


def test_chunks_come_out_in_order_and_all_at_once() -> None:
    recorded = Recorded()
    chunks = [b"ab", b"", b"c"]
    assert recorded.put(*chunks) == [True] * 3
    taken = recorded.channel.take_nowait()
    assert taken == deque(chunks)
    assert all(ours is theirs for ours, theirs in zip(taken, chunks, strict=True))
    assert recorded.channel.take_nowait() is None


def test_receiver_is_woken_once_for_any_number_of_chunks() -> None:
    recorded = Recorded()
    assert recorded.channel.take_nowait() is None
    recorded.put(b"a", b"b", b"c")
    assert recorded.woken == [RECEIVER]


def test_receiver_that_does_not_wait_is_not_woken() -> None:
    recorded = Recorded()
    recorded.put(b"a")
    assert recorded.channel.take_nowait() == deque([b"a"])
    recorded.put(b"b")
    recorded.channel.end()
    assert recorded.woken == []


def test_receiver_is_woken_again_once_it_waits_again() -> None:
    recorded = Recorded()
    for _ in range(3):
        assert recorded.channel.take_nowait() is None
        recorded.put(b"a")
        assert recorded.channel.take_nowait() == deque([b"a"])
        recorded.channel.release(1)
    assert recorded.woken == [RECEIVER] * 3


def test_sender_is_stopped_at_the_high_watermark() -> None:
    recorded = Recorded(high=8)
    assert recorded.put(b"abcd", b"efg", b"h") == [True, True, False]
    assert not recorded.channel.has_room()


def test_one_chunk_of_any_size_is_taken_below_the_high_watermark() -> None:
    recorded = Recorded(high=8)
    assert recorded.put(b"abcdefg", bytes(1000)) == [True, False]
    assert recorded.channel.statistics().held_bytes == 8 - 1 + 1000


def test_stopped_sender_is_woken_once_at_the_low_watermark() -> None:
    recorded = Recorded(high=8, low=2).filled()
    recorded.channel.take_nowait()
    for _ in range(5):
        recorded.channel.release(1)
    assert recorded.woken == []
    assert not recorded.channel.has_room()
    recorded.channel.release(1)
    assert recorded.woken == [SENDER]
    recorded.channel.release(1)
    recorded.channel.release(1)
    assert recorded.woken == [SENDER]
    assert recorded.channel.has_room()


def test_taking_makes_no_room_but_releasing_does() -> None:
    recorded = Recorded().filled()
    assert recorded.channel.take_nowait() == deque([b"abcd", b"efgh"])
    assert recorded.channel.statistics().held_bytes == 8
    assert not recorded.channel.has_room()
    recorded.channel.release(8)
    assert recorded.channel.statistics().held_bytes == 0
    assert recorded.channel.has_room()


def test_sender_that_was_never_stopped_is_not_woken() -> None:
    recorded = Recorded()
    recorded.put(b"abcdefg")
    assert recorded.channel.has_room()
    recorded.channel.take_nowait()
    recorded.channel.release(7)
    assert recorded.woken == []


def test_sender_that_sees_the_room_itself_needs_no_wake() -> None:
    recorded = Recorded(high=8, low=2)
    recorded.put(b"abcdefgh")
    recorded.channel.take_nowait()
    recorded.channel.release(6)
    assert recorded.woken == [SENDER]
    assert recorded.channel.has_room()
    recorded.channel.release(2)
    assert recorded.woken == [SENDER]


@pytest.mark.parametrize(("high", "low", "step"), [(8, 0, 2), (100, 20, 20), (2, 1, 0), (4, 1, 0)])
def test_release_step_is_a_quarter_of_the_way_down(high: int, low: int, step: int) -> None:
    assert Recorded(high, low).channel.release_step == step


# The end.


def test_end_is_met_after_what_is_held_and_ever_after() -> None:
    recorded = Recorded()
    recorded.put(b"ab")
    recorded.channel.end()
    assert recorded.channel.take_nowait() == deque([b"ab"])
    for _ in range(2):
        with pytest.raises(EndOfStream):
            recorded.channel.take_nowait()


def test_error_is_met_after_what_is_held() -> None:
    recorded = Recorded()
    recorded.put(b"ab")
    recorded.channel.end(error := BrokenOff())
    assert recorded.channel.take_nowait() == deque([b"ab"])
    with pytest.raises(BrokenOff) as caught:
        recorded.channel.take_nowait()
    assert caught.value is error


@pytest.mark.parametrize("error", [None, BrokenOff()], ids=repr)
def test_waiting_receiver_is_woken_by_the_end(error: BaseException | None) -> None:
    recorded = Recorded()
    recorded.channel.take_nowait()
    recorded.channel.end(error)
    recorded.channel.end()
    assert recorded.woken == [RECEIVER]


@pytest.mark.parametrize(
    ("error", "raised"), [(None, EndOfStream), (BrokenOff(), BrokenOff)], ids=repr
)
def test_nothing_can_be_put_after_the_end(
    error: BaseException | None, raised: type[BaseException]
) -> None:
    recorded = Recorded()
    recorded.channel.end(error)
    with pytest.raises(raised):
        recorded.put(b"late")
    with pytest.raises(raised):
        recorded.channel.take_nowait()


def test_first_ending_stands() -> None:
    recorded = Recorded()
    recorded.channel.end()
    recorded.channel.end(BrokenOff())
    with pytest.raises(EndOfStream):
        recorded.channel.take_nowait()


def test_ended_is_not_exhausted_while_chunks_are_held() -> None:
    recorded = Recorded()
    channel = recorded.channel
    recorded.put(b"a")
    assert (channel.ended, channel.exhausted) == (False, False)
    channel.end()
    assert (channel.ended, channel.exhausted) == (True, False)
    channel.take_nowait()
    assert (channel.ended, channel.exhausted) == (True, True)


@pytest.mark.parametrize(
    "ending",
    [
        lambda channel: channel.end(BrokenOff()),
        lambda channel: channel.break_with(BrokenOff()),
    ],
    ids=["end", "break"],
)
def test_failed_channel_is_ended_and_never_exhausted(
    ending: Callable[[ByteChannel[bytes]], None],
) -> None:
    channel = Recorded().channel
    ending(channel)
    assert (channel.ended, channel.exhausted) == (True, False)


# Breaking.


def test_breaking_drops_what_is_held_and_both_ends_raise() -> None:
    recorded = Recorded().filled()
    recorded.channel.break_with(error := BrokenOff())
    for call in (
        recorded.channel.take_nowait,
        recorded.channel.has_room,
        lambda: recorded.put(b"late"),
        recorded.channel.take_nowait,
    ):
        with pytest.raises(BrokenOff) as caught:
            call()
        assert caught.value is error


def test_breaking_wakes_both_ends_once() -> None:
    recorded = Recorded().filled()
    recorded.channel.take_nowait()
    assert recorded.channel.take_nowait() is None
    assert recorded.channel.statistics() == ChannelStatistics(8, True, True)
    recorded.channel.break_with(BrokenOff())
    assert sorted(recorded.woken) == [RECEIVER, SENDER]
    recorded.channel.break_with(BrokenOff())
    recorded.channel.release(8)
    assert sorted(recorded.woken) == [RECEIVER, SENDER]


def test_breaking_wakes_nobody_who_does_not_wait() -> None:
    recorded = Recorded()
    recorded.channel.break_with(BrokenOff())
    assert recorded.woken == []


@pytest.mark.parametrize("broken", [False, True])
def test_first_error_wins(broken: bool) -> None:
    channel = Recorded().channel
    first, second = BrokenOff("first"), BrokenOff("second")
    if broken:
        channel.break_with(first)
    else:
        channel.end(first)
    channel.break_with(second)
    channel.end(BrokenOff("third"))
    with pytest.raises(BrokenOff, match="first"):
        channel.take_nowait()


def test_clean_end_that_nobody_has_met_can_be_broken() -> None:
    recorded = Recorded()
    recorded.put(b"ab")
    recorded.channel.end()
    recorded.channel.break_with(BrokenOff())
    with pytest.raises(BrokenOff):
        recorded.channel.take_nowait()


def test_failed_end_that_is_broken_still_drops_what_is_held() -> None:
    recorded = Recorded()
    recorded.put(b"ab")
    recorded.channel.end(BrokenOff("first"))
    recorded.channel.break_with(BrokenOff("second"))
    with pytest.raises(BrokenOff, match="first"):
        recorded.channel.take_nowait()


# Errors that are raised again and again.


def traced(error: BaseException) -> BaseException:
    """An error with a traceback, as one that was caught has it."""
    try:
        raise error
    except BaseException as caught:
        return caught


def frames_of(error: BaseException) -> int:
    count, link = 0, error.__traceback__
    while link is not None:
        count, link = count + 1, link.tb_next
    return count


def frames_when_raised(call: Callable[[], object]) -> int:
    try:
        call()
    except BaseException as error:
        return frames_of(error)
    raise AssertionError("it raised nothing")


@pytest.mark.parametrize("ending", ["end", "end with an error", "break"])
def test_traceback_does_not_grow_with_each_raise(ending: str) -> None:
    recorded = Recorded()
    channel = recorded.channel
    match ending:
        case "end":
            channel.end()
        case "end with an error":
            channel.end(traced(BrokenOff()))
        case _:
            channel.break_with(traced(BrokenOff()))
    for call in (channel.take_nowait, channel.has_room, lambda: channel.put_nowait(b"", 0)):
        assert len({frames_when_raised(call) for _ in range(5)}) == 1


def test_traceback_begins_where_the_error_came_from() -> None:
    channel = Recorded().channel
    channel.break_with(error := traced(BrokenOff()))
    with pytest.raises(BrokenOff):
        channel.take_nowait()
    link, names = error.__traceback__, []
    while link is not None:
        names.append(link.tb_frame.f_code.co_name)
        link = link.tb_next
    assert names[-1] == "traced"


def test_end_of_a_broken_channel_lets_the_senders_frames_go() -> None:
    channel = Recorded().channel
    channel.break_with(error := BrokenOff())
    with pytest.raises(BrokenOff):
        channel.put_nowait(b"", 0)
    assert frames_of(error) > 0
    channel.end()
    assert frames_of(error) == 0


def test_frames_are_let_go_for_good() -> None:
    channel = Recorded().channel
    channel.forget_frames()  # there are none yet
    channel.end(error := traced(BrokenOff()))
    channel.forget_frames()
    assert frames_of(error) == 0
    with pytest.raises(BrokenOff):
        channel.take_nowait()
    channel.end()
    assert frames_of(error) == 0


# Looks.


def test_statistics_say_who_waits() -> None:
    recorded = Recorded()
    assert recorded.channel.statistics() == ChannelStatistics(0, False, False)
    recorded.channel.take_nowait()
    assert recorded.channel.statistics() == ChannelStatistics(0, False, True)
    recorded.filled()
    assert recorded.channel.statistics() == ChannelStatistics(8, True, False)


def test_repr_shows_the_state() -> None:
    recorded = Recorded()
    channel = recorded.channel
    assert repr(channel) == "<ByteChannel held=0 high=8 low=2>"
    channel.take_nowait()
    assert repr(channel) == "<ByteChannel held=0 high=8 low=2 receiver waits>"
    recorded.filled()
    channel.end()
    assert repr(channel) == "<ByteChannel held=8 high=8 low=2 ended sender waits>"
