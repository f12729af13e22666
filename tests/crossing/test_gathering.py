"""When a thread is woken: a script of the loop's steps, of which the last one wakes it."""

import asyncio
from collections.abc import Callable

import pytest

from asgi_bridge import ClientDisconnected, Watermarks
from asgi_bridge.crossing.asyncio_portal import AsyncioPortal
from asgi_bridge.crossing.body_channel import SHARE, WORTH_WAKING, BodyChannel
from asgi_bridge.crossing.inlet import ThreadReceiver
from asgi_bridge.crossing.waiters import ThreadWaiter

from .portals import HandTurned
from .threads import Running


class Waiting:
    """A thread's end of a channel, whose receiver has said that it waits, and the loop's end."""

    def __init__(self, high: int = 1 << 30) -> None:
        self.portal = HandTurned()
        self.waiter = ThreadWaiter()
        self.channel = BodyChannel(
            Watermarks(high=high, low=0),
            wake_sender=lambda: None,
            wake_receiver=self.waiter.wake,
            soon=self.portal.soon,
        )
        self.wait()

    def wait(self) -> None:
        while (taken := self.channel.take_nowait()) is not None:
            self.channel.release(sum(map(len, taken)))

    def woken(self) -> bool:
        return self.waiter.wait(0)

    def put(self, size: int) -> None:
        self.channel.put_nowait(bytes(size), size)

    def byte(self) -> None:
        self.put(1)

    def share(self) -> None:
        self.put(SHARE)

    def half(self) -> None:
        self.put(WORTH_WAKING // 2)

    def end(self) -> None:
        self.channel.end()

    def break_off(self) -> None:
        self.channel.break_with(ClientDisconnected("gone"))

    def break_elsewhere(self) -> None:
        Running(self.break_off).result()

    def turn(self) -> None:
        self.portal.turn()


Step = Callable[[Waiting], None]
BYTE, SHARES, HALF, TURN = Waiting.byte, Waiting.share, Waiting.half, Waiting.turn
END, BREAK, BREAK_ELSEWHERE = Waiting.end, Waiting.break_off, Waiting.break_elsewhere


@pytest.mark.parametrize(
    "steps",
    [
        (BYTE, TURN, TURN),
        (BYTE, BYTE, TURN, BYTE, TURN),  # a turn that brings little
        (SHARES, SHARES, TURN, TURN, TURN),  # more came before the first look
        (SHARES, TURN, SHARES, TURN, TURN, TURN),
        (HALF, HALF),  # worth it
        (HALF, TURN, HALF),
        (END,),
        (BREAK,),
        (BREAK_ELSEWHERE,),
        (BYTE, END),
        (BYTE, TURN, END),
        (BYTE, BREAK),
        (BYTE, BREAK_ELSEWHERE),
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
    for _ in range(3):
        waiting.turn()
    assert not waiting.woken()
    assert not waiting.portal.wakes


def test_full_channel_wakes_at_once() -> None:
    waiting = Waiting(high=SHARE)
    waiting.share()
    assert waiting.woken()


def test_thread_that_waits_again_is_woken_again() -> None:
    waiting = Waiting()
    for _ in range(3):
        waiting.byte()
        waiting.turn()
        waiting.turn()
        assert waiting.woken()
        waiting.wait()


def test_thread_that_waits_again_before_a_look_is_woken_again() -> None:
    waiting = Waiting()
    waiting.byte()
    waiting.wait()  # it has looked by itself
    waiting.turn()
    assert not waiting.portal.wakes
    waiting.byte()
    waiting.turn()
    waiting.turn()
    assert waiting.woken()


def test_chunks_that_come_with_each_turn_are_gathered() -> None:
    waiting = Waiting()
    turns = 0
    while not waiting.woken():
        waiting.share()
        waiting.turn()
        turns += 1
    assert turns * SHARE == WORTH_WAKING


def test_wait_that_runs_out_finds_what_the_thread_was_not_woken_for() -> None:
    waiting = Waiting()
    receiver = ThreadReceiver(waiting.channel, waiting.waiter, 0.01, waiting.byte)
    assert b"".join(receiver.take()) == bytes(1)  # it puts that itself, before it waits


def test_loop_that_is_closed_gathers_nothing() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    called: list[int] = []
    AsyncioPortal(loop).soon(lambda: called.append(1))
    assert called == [1]
