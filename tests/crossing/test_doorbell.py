"""When a thread is woken: a script of the loop's steps, of which the last one wakes it."""

from collections.abc import Callable

import pytest

from asgi_bridge import ClientDisconnected, Watermarks
from asgi_bridge.crossing.body_channel import BodyChannel
from asgi_bridge.crossing.doorbell import WORTH_WAKING, Doorbell
from asgi_bridge.crossing.waiters import ThreadWaiter

from .portals import HandTurned
from .threads import Running

CHUNK = WORTH_WAKING // 4


class Waiting:
    """A thread's end of a channel, whose receiver has said that it waits, and the loop's end."""

    def __init__(self) -> None:
        self.portal = HandTurned()
        self.waiter = ThreadWaiter()
        bell = Doorbell(self.portal, self.waiter)
        self.channel = BodyChannel(
            Watermarks(high=1 << 30, low=1), wake_sender=lambda: None, wake_receiver=bell.ring
        )
        bell.channel = self.channel
        self.wait()

    def wait(self) -> None:
        while self.channel.take_nowait() is not None:
            pass

    def woken(self) -> bool:
        return self.waiter.wait(0)

    def put(self, size: int = CHUNK) -> None:
        self.channel.put_nowait(bytes(size), size)

    def end(self) -> None:
        self.channel.end()

    def break_off(self) -> None:
        self.channel.break_with(ClientDisconnected("gone"))

    def break_elsewhere(self) -> None:
        Running(self.break_off).result()

    def turn(self) -> None:
        self.portal.turn()


Step = Callable[[Waiting], None]
PUT, END, TURN = Waiting.put, Waiting.end, Waiting.turn
BREAK, BREAK_ELSEWHERE = Waiting.break_off, Waiting.break_elsewhere


def put_large(waiting: Waiting) -> None:
    waiting.put(WORTH_WAKING)


@pytest.mark.parametrize(
    "steps",
    [
        (PUT, TURN, TURN),
        (PUT, PUT, TURN, TURN, TURN),  # more came before the first look
        (PUT, TURN, PUT, TURN, TURN, TURN),
        (put_large, TURN),
        (PUT, PUT, PUT, PUT, TURN),  # worth it
        (END,),
        (BREAK,),
        (BREAK_ELSEWHERE,),
        (PUT, END, TURN),
        (PUT, PUT, END, TURN),
        (PUT, BREAK, TURN),
    ],
    ids=lambda steps: "-".join(step.__name__ for step in steps),
)
def test_last_step_wakes_the_thread_and_none_before(steps: tuple[Step, ...]) -> None:
    waiting = Waiting()
    seen = []
    for step in steps:
        step(waiting)
        seen.append(waiting.woken())
    assert seen == [False] * (len(steps) - 1) + [True]
    waiting.turn()
    assert not waiting.woken()


def test_thread_that_waits_again_is_woken_again() -> None:
    waiting = Waiting()
    for _ in range(3):
        waiting.put()
        waiting.turn()
        waiting.turn()
        assert waiting.woken()
        waiting.wait()


def test_chunks_that_come_with_each_turn_are_gathered() -> None:
    waiting = Waiting()
    turns = 0
    while not waiting.woken():
        waiting.put()
        waiting.turn()
        turns += 1
    assert turns * CHUNK == WORTH_WAKING
