"""The ends of a channel: real threads, real loops, and bytes that all arrive."""

import random
from collections import deque

import anyio
import anyio.to_thread
import pytest

from asgi_bridge import ReadTimeout, Watermarks, WriteTimeout
from asgi_bridge.crossing.body_channel import ByteChannel
from asgi_bridge.crossing.ending import EndOfStream
from asgi_bridge.crossing.here import current_portal
from asgi_bridge.crossing.inlet import ThreadReceiver, loop_to_thread
from asgi_bridge.crossing.outlet import Outlet
from asgi_bridge.crossing.waiters import ThreadWaiter

from .portals import HandTurned
from .threads import LIMIT, Running

SMALL = Watermarks(high=64, low=16)


class BrokenOff(Exception):
    """What a test ends a channel with."""


def some_chunks(count: int) -> list[bytes]:
    """Chunks of 0 to 3 bytes, the same ones every time."""
    rng = random.Random(count)
    return [rng.randbytes(rng.randrange(4)) for _ in range(count)]


class IntoThread(Outlet[bytes]):
    """An outlet that another thread takes from."""

    def __init__(self, watermarks: Watermarks, *, timeout: float | None) -> None:
        super().__init__(HandTurned(), watermarks, timeout=timeout)
        self.filled = ThreadWaiter()

    def _wake_receiver(self) -> None:
        self.filled.wake()


def between_threads(
    watermarks: Watermarks = SMALL, *, timeout: float | None = LIMIT
) -> tuple[Outlet[bytes], ThreadReceiver[bytes]]:
    """A channel with a thread at each end."""
    outlet = IntoThread(watermarks, timeout=timeout)
    return outlet, ThreadReceiver(outlet, outlet.filled, timeout, None)


def outlet_here(watermarks: Watermarks = SMALL, *, timeout: float = LIMIT) -> Outlet[bytes]:
    """An outlet into the loop that the test runs on."""
    return Outlet(current_portal(), watermarks, timeout=timeout)


def send_all(sender: Outlet[bytes], chunks: list[bytes]) -> None:
    for chunk in chunks:
        sender.put(chunk, len(chunk))
    sender.finish()


def read_all(receiver: ThreadReceiver[bytes]) -> bytes:
    came = bytearray()
    while True:
        try:
            taken = receiver.take()
        except EndOfStream:
            return bytes(came)
        for chunk in taken:
            came += chunk
            receiver.release(len(chunk))


async def receive_all(outlet: Outlet[bytes]) -> bytes:
    came = bytearray()
    while True:
        try:
            taken = await outlet.take()
        except EndOfStream:
            return bytes(came)
        for chunk in taken:
            came += chunk
            outlet.used(len(chunk))


# The whole way.


@pytest.mark.parametrize("watermarks", [SMALL, Watermarks(high=1, low=0)], ids=str)
def test_every_byte_crosses_between_two_threads(watermarks: Watermarks) -> None:
    chunks = some_chunks(100_000 if watermarks is SMALL else 2_000)
    channel, receiver = between_threads(watermarks)
    sending = Running(lambda: send_all(channel, chunks))
    receiving = Running(lambda: read_all(receiver))
    sending.result()
    assert receiving.result() == b"".join(chunks)
    assert channel.exhausted


@pytest.mark.anyio
async def test_every_byte_crosses_from_a_thread_to_the_loop() -> None:
    chunks = some_chunks(20_000)
    outlet = outlet_here()
    sending = Running(lambda: send_all(outlet, chunks))
    with anyio.fail_after(LIMIT):
        assert await receive_all(outlet) == b"".join(chunks)
    assert outlet.exhausted
    sending.result()


@pytest.mark.anyio
async def test_every_byte_crosses_from_the_loop_to_a_thread() -> None:
    chunks = some_chunks(20_000)
    channel, room, receiver = loop_to_thread(current_portal(), SMALL, timeout=LIMIT)
    reading = Running(lambda: read_all(receiver))
    with anyio.fail_after(LIMIT):
        for chunk in chunks:
            if not channel.put_nowait(chunk, len(chunk)):
                while not channel.has_room():
                    await room.wait()
        channel.end()
        assert await anyio.to_thread.run_sync(reading.result) == b"".join(chunks)


# What a thread waits for.


def test_read_that_nothing_comes_for_times_out() -> None:
    channel, receiver = between_threads(timeout=0.01)
    for _ in range(2):
        with pytest.raises(ReadTimeout, match=r"no request bytes for 0\.01 s"):
            receiver.take()
    with pytest.raises(ReadTimeout):  # for good: what a short read had is lost
        channel.put_nowait(b"late", 4)
    with pytest.raises(ReadTimeout):
        receiver.take()


def test_write_that_nobody_takes_times_out() -> None:
    channel, receiver = between_threads(Watermarks(high=4, low=1), timeout=0.01)
    with pytest.raises(WriteTimeout, match=r"took no response bytes for 0\.01 s"):
        channel.put(b"abcd", 4)
    assert receiver.take() == deque([b"abcd"])  # it was put all the same
    receiver.release(4)
    channel.put(b"e", 1)


def test_write_waits_for_a_receiver_that_is_slow_and_not_for_one_that_has_stopped() -> None:
    """The room comes back with the low watermark, and that may be many timeouts away."""

    class Impatient(ThreadWaiter):
        """Its time is always up at once; the receiver uses up a byte in the first few."""

        waits = 0

        def wait(self, timeout: float | None) -> bool:
            self.waits += 1
            if self.waits <= 5:
                outlet.used(1)
            return False

    outlet: Outlet[bytes] = Outlet(HandTurned(), Watermarks(high=100, low=1), timeout=0.0)
    outlet._room = room = Impatient()
    with pytest.raises(WriteTimeout):
        outlet.put(bytes(100), 100)
    assert room.waits == 6


@pytest.mark.parametrize("timeout", [None, LIMIT])
def test_stopped_write_goes_on_at_the_low_watermark(timeout: float | None) -> None:
    channel, receiver = between_threads(Watermarks(high=4, low=1), timeout=timeout)
    writing = Running(lambda: send_all(channel, [b"abcd", b"e"]))
    assert receiver.take() == deque([b"abcd"])
    assert channel.statistics().sender_waits
    receiver.release(4)
    assert receiver.take() == deque([b"e"])
    writing.result()


@pytest.mark.parametrize("parked", ["reader", "writer"])
def test_breaking_lets_a_parked_thread_go(parked: str) -> None:
    channel, receiver = between_threads(Watermarks(high=4, low=1))
    begun = ThreadWaiter()

    def park() -> None:
        begun.wake()
        if parked == "reader":
            receiver.take()
        else:
            channel.put(b"abcd", 4)

    running = Running(park)
    assert begun.wait(LIMIT)
    channel.break_with(error := BrokenOff())
    with pytest.raises(BrokenOff) as caught:
        running.result()
    assert caught.value is error


def test_error_of_the_sender_is_met_after_what_it_sent() -> None:
    sender, receiver = between_threads()
    sender.put(b"ab", 2)
    sender.finish(BrokenOff())
    assert receiver.take() == deque([b"ab"])
    with pytest.raises(BrokenOff):
        receiver.take()


def test_wake_for_nothing_ends_no_wait() -> None:
    outlet, receiver = between_threads(Watermarks(high=4, low=1), timeout=0.01)
    for _ in range(2):  # the first makes what the later wakes are for
        outlet._wake_sender()
        outlet._wake_receiver()
        with pytest.raises(WriteTimeout):
            outlet.put(b"abcd", 4)
    receiver.take()
    with pytest.raises(ReadTimeout):
        receiver.take()


# How room is given back.


def test_room_is_given_back_in_steps() -> None:
    channel, receiver = between_threads(Watermarks(high=20, low=4))
    channel.put_nowait(bytes(10), 10)
    receiver.take()
    held = []
    for _ in range(10):
        receiver.release(1)
        held.append(channel.statistics().held_bytes)
    step = channel.release_step
    assert step == 4
    assert held == [10] * 3 + [6] * 4 + [2] * 3


def test_all_room_is_given_back_before_a_wait() -> None:
    """Else both ends could wait for each other."""
    channel, receiver = between_threads(Watermarks(high=20, low=4), timeout=0)
    channel.put_nowait(bytes(3), 3)
    receiver.take()
    receiver.release(3)
    assert channel.statistics().held_bytes == 3
    with pytest.raises(ReadTimeout):
        receiver.take()
    assert channel.statistics().held_bytes == 0


@pytest.mark.anyio
async def test_loop_gives_all_room_back_before_it_waits() -> None:
    outlet = outlet_here(Watermarks(high=20, low=4), timeout=0)
    with pytest.raises(WriteTimeout):
        outlet.put(bytes(20), 20)
    assert outlet.take_held() == deque([bytes(20)])
    for _ in range(20):
        outlet.used(1)
    assert outlet.take_held() is None
    outlet.put(bytes(19), 19)  # fits only where all 20 are free again


def test_demand_is_told_once_and_before_the_first_wait_only() -> None:
    told: list[str] = []
    filled = ThreadWaiter()
    channel = ByteChannel[bytes](SMALL, wake_sender=filled.wake, wake_receiver=filled.wake)
    receiver = ThreadReceiver(channel, filled, 0, lambda: told.append("demand"))
    channel.put_nowait(b"a", 1)
    receiver.take()
    assert told == []
    for _ in range(2):
        with pytest.raises(ReadTimeout):
            receiver.take()
    assert told == ["demand"]


def test_demand_may_bring_the_chunk_itself() -> None:
    filled = ThreadWaiter()
    channel = ByteChannel[bytes](SMALL, wake_sender=filled.wake, wake_receiver=filled.wake)
    receiver = ThreadReceiver(channel, filled, LIMIT, lambda: channel.end())
    with pytest.raises(EndOfStream):
        receiver.take()


# The loop's end.


@pytest.mark.anyio
async def test_cancelled_take_loses_nothing() -> None:
    outlet = outlet_here()
    with anyio.move_on_after(0.01) as scope:
        await outlet.take()
    assert scope.cancelled_caught
    Running(lambda: outlet.put(b"ab", 2)).result()
    with anyio.fail_after(LIMIT):
        assert await outlet.take() == deque([b"ab"])


@pytest.mark.anyio
async def test_loop_breaks_off_a_thread_that_writes() -> None:
    outlet = outlet_here()
    writing = Running(lambda: send_all(outlet, [bytes(64), b"more"]))
    with anyio.fail_after(LIMIT):
        await outlet.take()
    outlet.break_with(BrokenOff())
    with pytest.raises(BrokenOff):
        await anyio.to_thread.run_sync(writing.result)
    with anyio.fail_after(LIMIT), pytest.raises(BrokenOff):
        await outlet.take()


@pytest.mark.anyio
async def test_error_of_a_thread_reaches_a_loop_that_waits() -> None:
    outlet = outlet_here()
    ending = Running(lambda: outlet.finish(BrokenOff()))
    with anyio.fail_after(LIMIT), pytest.raises(BrokenOff):
        await outlet.take()
    ending.result()
    assert not outlet.exhausted
