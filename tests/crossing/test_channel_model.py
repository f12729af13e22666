"""ByteChannel against a model: any calls in any order, as two well-behaved ends make them."""

from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from asgi_bridge import Watermarks
from asgi_bridge.crossing.body_channel import ByteChannel
from asgi_bridge.crossing.ending import EndOfStream

BIGGEST = 12

# A channel ends once, so it must be tried seldom or most calls would come after it.
MOST_URGE = 9
URGES = st.integers(0, MOST_URGE)


class ChannelMachine(RuleBasedStateMachine):
    """A sender that stops when told to, a receiver that gives back what it took."""

    @initialize(low=st.integers(0, 10), above=st.integers(1, 10))
    def make(self, low: int, above: int) -> None:
        self.high, self.low = low + above, low
        self.sender_wakes = self.receiver_wakes = 0
        self.channel = ByteChannel[bytes](
            Watermarks(high=self.high, low=low),
            wake_sender=self.wake_sender,
            wake_receiver=self.wake_receiver,
        )
        self.number = 0
        self.held: deque[bytes] = deque()  # put and not taken
        self.taken = 0  # bytes taken and not released
        self.ending: BaseException | None = None
        self.stopped = self.waiting = False  # what each end was told last
        self.due_to_sender = self.due_to_receiver = 0  # wakes

    def wake_sender(self) -> None:
        self.sender_wakes += 1

    def wake_receiver(self) -> None:
        self.receiver_wakes += 1

    def bytes_held(self) -> int:
        return sum(map(len, self.held)) + self.taken

    def meets_the_ending(self, call: Callable[[], object]) -> None:
        with pytest.raises((EndOfStream, ValueError)) as caught:
            call()
        clean = isinstance(self.ending, EndOfStream)
        assert isinstance(caught.value, EndOfStream) if clean else caught.value is self.ending

    def end_wait_of_receiver(self) -> None:
        self.due_to_receiver += self.waiting
        self.waiting = False

    def end_wait_of_sender(self) -> None:
        self.due_to_sender += self.stopped
        self.stopped = False

    @precondition(lambda self: not self.stopped)
    @rule(size=st.integers(0, BIGGEST))
    def put(self, size: int) -> None:
        self.number += 1
        chunk = bytes([self.number % 256]) * size
        if self.ending is not None:
            self.meets_the_ending(lambda: self.channel.put_nowait(chunk, size))
            return
        room = self.channel.put_nowait(chunk, size)
        self.held.append(chunk)
        self.stopped = self.bytes_held() >= self.high
        assert room is not self.stopped
        self.end_wait_of_receiver()

    @rule()
    def ask_for_room(self) -> None:
        if self.ending is not None:
            self.meets_the_ending(self.channel.has_room)
        else:
            assert self.channel.has_room() is not self.stopped

    @rule()
    def take(self) -> None:
        if self.held:
            assert self.channel.take_nowait() == self.held
            self.taken = self.bytes_held()
            self.held.clear()
        elif self.ending is not None:
            self.meets_the_ending(self.channel.take_nowait)
        else:
            assert self.channel.take_nowait() is None
            self.waiting = True

    @precondition(lambda self: self.taken)
    @rule(choice=st.data())
    def release(self, choice: st.DataObject) -> None:
        size = choice.draw(st.integers(1, self.taken))
        self.channel.release(size)
        self.taken -= size
        # The ends go by what is held until it is released; a break drops chunks, not that count,
        # but then nobody is stopped any more.
        if self.bytes_held() <= self.low:
            self.end_wait_of_sender()

    @precondition(lambda self: self.ending is None)
    @rule(urge=URGES, error=st.sampled_from([None, ValueError("end")]))
    def end(self, urge: int, error: BaseException | None) -> None:
        if urge < MOST_URGE:
            return
        self.channel.end(error)
        self.ending = EndOfStream() if error is None else error
        self.end_wait_of_receiver()

    @rule(urge=URGES)
    def break_off(self, urge: int) -> None:
        if urge < MOST_URGE:
            return
        error = ValueError("break")
        self.channel.break_with(error)
        if self.ending is None or isinstance(self.ending, EndOfStream):
            self.ending = error
        self.held.clear()
        self.end_wait_of_receiver()
        self.end_wait_of_sender()

    @invariant()
    def every_wake_was_due_and_every_due_wake_came(self) -> None:
        assert self.sender_wakes == self.due_to_sender
        assert self.receiver_wakes == self.due_to_receiver

    @invariant()
    def bound_holds_over_both_ends(self) -> None:
        seen = self.channel.statistics()
        assert seen.held_bytes <= self.high - 1 + BIGGEST
        if self.ending is None:
            assert seen.held_bytes == self.bytes_held()
            assert (seen.sender_waits, seen.receiver_waits) == (self.stopped, self.waiting)


TestChannelModel = ChannelMachine.TestCase
TestChannelModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
