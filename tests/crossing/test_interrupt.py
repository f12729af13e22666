"""Interrupt: a wait that is under way, and one that begins too late."""

import pytest

from asgi_bridge import Watermarks
from asgi_bridge.crossing.body_channel import BodyChannel
from asgi_bridge.crossing.interrupt import Interrupt, current_interrupt


class Given(Exception):
    """What a test gives up with."""


def channel() -> BodyChannel:
    return BodyChannel(
        Watermarks(high=8, low=2), wake_sender=lambda: None, wake_receiver=lambda: None
    )


def test_wait_that_is_under_way_ends() -> None:
    interrupt, waited_for = Interrupt(), channel()
    interrupt.begin(waited_for)
    interrupt.set(Given())
    with pytest.raises(Given):
        waited_for.take_nowait()


def test_wait_that_begins_afterwards_ends() -> None:
    interrupt, waited_for = Interrupt(), channel()
    interrupt.set(Given())
    interrupt.begin(waited_for)
    with pytest.raises(Given):
        waited_for.take_nowait()


def test_wait_that_is_over_is_left_alone() -> None:
    interrupt, waited_for = Interrupt(), channel()
    interrupt.begin(waited_for)
    interrupt.end()
    interrupt.set(Given())
    assert waited_for.take_nowait() is None


def test_one_within_another() -> None:
    outer, inner = Interrupt(), Interrupt()
    assert current_interrupt() is None
    with outer.here():
        with inner.here():
            assert current_interrupt() is inner
        assert current_interrupt() is outer
    assert current_interrupt() is None
