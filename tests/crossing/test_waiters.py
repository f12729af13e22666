"""ThreadWaiter: sticky, and one wake however often it was woken."""

import math

import pytest

from asgi_bridge.crossing.waiters import ThreadWaiter

from .threads import LIMIT, Running


def test_wake_before_the_wait_ends_it_at_once() -> None:
    waiter = ThreadWaiter()
    waiter.wake()
    assert waiter.wait(LIMIT)


def test_two_wakes_count_as_one() -> None:
    waiter = ThreadWaiter()
    waiter.wake()
    waiter.wake()
    assert waiter.wait(LIMIT)
    assert not waiter.wait(0)


@pytest.mark.parametrize("timeout", [0, 0.01])
def test_wait_ends_with_its_time(timeout: float) -> None:
    waiter = ThreadWaiter()
    assert not waiter.wait(timeout)
    waiter.wake()  # and is usable after it
    assert waiter.wait(LIMIT)


@pytest.mark.parametrize("timeout", [None, LIMIT])
def test_wake_ends_a_wait_on_another_thread(timeout: float | None) -> None:
    waiter, answer = ThreadWaiter(), ThreadWaiter()

    def wait_and_answer() -> list[bool]:
        first = waiter.wait(timeout)
        answer.wake()
        return [first, waiter.wait(timeout)]

    running = Running(wait_and_answer)
    waiter.wake()
    assert answer.wait(LIMIT)
    waiter.wake()
    assert running.result() == [True, True]


@pytest.mark.parametrize("timeout", [1e12, math.inf])
def test_wait_may_be_longer_than_a_lock_can_wait(timeout: float) -> None:
    waiter = ThreadWaiter()
    waiter.wake()
    assert waiter.wait(timeout)
