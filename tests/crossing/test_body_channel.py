"""BodyChannel: tiny chunks are joined, and nothing else of a channel changes."""

import sys
import threading
from collections import deque

import pytest

from asgi_bridge import Watermarks
from asgi_bridge.crossing.body_channel import JOINED, TINY, BodyChannel
from asgi_bridge.crossing.ending import EndOfStream
from asgi_bridge.crossing.waiters import ThreadWaiter

SENDER, RECEIVER = "sender", "receiver"


class Recorded:
    """A channel, and which end it has woken, in order."""

    def __init__(self, high: int = 8, low: int = 2) -> None:
        self.woken: list[str] = []
        self.channel = BodyChannel(
            Watermarks(high=high, low=low),
            wake_sender=lambda: self.woken.append(SENDER),
            wake_receiver=lambda: self.woken.append(RECEIVER),
        )


def test_tiny_chunks_are_one() -> None:
    recorded = Recorded()
    assert [recorded.channel.put_tiny(b"ab") for _ in range(4)] == [True, True, True, False]
    assert recorded.channel.statistics().held_bytes == 8
    assert recorded.channel.take_nowait() == deque([b"abababab"])
    recorded.channel.release(8)
    assert recorded.channel.statistics().held_bytes == 0
    assert recorded.woken == [SENDER]


def test_tiny_chunk_goes_to_a_larger_one_that_waits() -> None:
    channel = Recorded(high=10_000).channel
    channel.put_nowait(b"a" * 1000, 1000)
    channel.put_tiny(b"b")
    assert channel.take_nowait() == deque([b"a" * 1000 + b"b"])


def test_nothing_is_joined_to_a_large_chunk() -> None:
    channel = Recorded(high=10_000).channel
    channel.put_nowait(b"a" * JOINED, JOINED)
    channel.put_tiny(b"b")
    channel.put_tiny(b"c")
    assert channel.take_nowait() == deque([b"a" * JOINED, b"bc"])
    assert channel.statistics().held_bytes == JOINED + 2


def test_receiver_is_woken_by_the_first() -> None:
    recorded = Recorded()
    assert recorded.channel.take_nowait() is None
    recorded.channel.put_tiny(b"a")
    recorded.channel.put_tiny(b"b")
    assert recorded.woken == [RECEIVER]


@pytest.mark.parametrize("broken", [False, True])
def test_nothing_comes_after_the_end(broken: bool) -> None:
    channel = Recorded().channel
    channel.put_tiny(b"a")
    if broken:
        channel.break_with(LookupError())
    else:
        channel.end()
    with pytest.raises(LookupError if broken else EndOfStream):
        channel.put_tiny(b"b")
    if not broken:
        assert channel.take_nowait() == deque([b"a"])


def test_a_million_tiny_chunks_are_little_memory() -> None:
    channel = Recorded(high=10_000_000).channel
    for _ in range(1_000_000):
        channel.put_tiny(b"ab")
    taken = channel.take_nowait()
    assert taken is not None
    assert sum(map(len, taken)) == 2_000_000
    assert sum(map(sys.getsizeof, taken)) + sys.getsizeof(taken) < 2_100_000


def test_order_holds_while_a_thread_takes() -> None:
    """The chunk that grows is out of the channel for a moment."""
    awake = ThreadWaiter()
    channel = BodyChannel(
        Watermarks(high=1 << 30, low=1), wake_sender=awake.wake, wake_receiver=awake.wake
    )
    sizes = [1 + i * 7 % TINY for i in range(20_000)]
    sent = b"".join(bytes([i % 251]) * size for i, size in enumerate(sizes))
    taken: list[bytes] = []

    def take() -> None:
        try:
            while True:
                while (chunks := channel.take_nowait()) is None:
                    awake.wait(5.0)
                taken.extend(chunks)
                channel.release(sum(map(len, chunks)))
        except EndOfStream:
            pass

    thread = threading.Thread(target=take)
    thread.start()
    for i, size in enumerate(sizes):
        channel.put_tiny(bytes([i % 251]) * size)
    channel.end()
    thread.join(10.0)
    assert b"".join(taken) == sent
    assert channel.statistics().held_bytes == 0
