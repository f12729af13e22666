"""Work: a call on a worker, the end of its channel, and those who wait for it."""

import contextvars
from collections import deque
from collections.abc import Callable

import anyio
import pytest

from asgi_bridge import Overloaded, Watermarks
from asgi_bridge.crossing.ending import EndOfStream
from asgi_bridge.crossing.here import current_portal
from asgi_bridge.crossing.outlet import Outlet
from asgi_bridge.crossing.waiters import ThreadWaiter
from asgi_bridge.crossing.work import Work

from .portals import HandTurned
from .threads import LIMIT, Running


class Output:
    """The channel that a call writes to, with both ends here."""

    def __init__(self) -> None:
        self.outlet: Outlet[bytes] = Outlet(HandTurned(), Watermarks(high=64, low=16), timeout=0)

    def work(self, call: Callable[[], None]) -> Work:
        return Work(call, self.outlet)


def do(work: Work) -> None:
    """What a worker does with a job."""
    work.run()
    work.done()


def test_channel_ends_with_the_call() -> None:
    output = Output()
    work = output.work(lambda: output.outlet.put(b"ab", 2))
    over = [work.over]
    do(work)
    over.append(work.over)
    assert over == [False, True]
    assert output.outlet.take_held() == deque([b"ab"])
    with pytest.raises(EndOfStream):
        output.outlet.take_held()


def test_what_the_call_raised_is_met_after_what_it_wrote() -> None:
    output = Output()
    error = ValueError("from the call")

    def write_and_fail() -> None:
        output.outlet.put(b"ab", 2)
        raise error

    do(output.work(write_and_fail))
    assert output.outlet.take_held() == deque([b"ab"])
    with pytest.raises(ValueError, match="from the call") as caught:
        output.outlet.take_held()
    assert caught.value is error


def test_what_nobody_will_meet_lets_its_frames_go() -> None:
    output = Output()
    error = ValueError("from the call")

    def fail() -> None:
        output.outlet.break_with(RuntimeError("before"))
        raise error

    do(output.work(fail))
    assert error.__traceback__ is None
    with pytest.raises(RuntimeError, match="before"):
        output.outlet.take_held()


class Unspeakable(BaseException):
    """One that cannot be shown."""

    def __repr__(self) -> str:
        raise ValueError("no words for it")


@pytest.mark.parametrize(
    "error",
    [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), Unspeakable()],
    ids=lambda error: type(error).__name__,
)
def test_call_cannot_end_the_server(error: BaseException) -> None:
    output = Output()

    def fail() -> None:
        raise error

    do(output.work(fail))
    with pytest.raises(RuntimeError, match="the worker's function raised") as caught:
        output.outlet.take_held()
    assert caught.value.__cause__ is error


def test_refused_work_is_over_and_says_why() -> None:
    output = Output()
    work = output.work(lambda: None)
    work.refused(Overloaded())
    assert work.over
    with pytest.raises(Overloaded):
        output.outlet.take_held()


who: contextvars.ContextVar[str] = contextvars.ContextVar("who")


def test_call_runs_in_a_copy_of_the_context_it_was_made_in() -> None:
    seen: list[str] = []

    def look() -> None:
        seen.append(who.get())
        who.set("the call")

    who.set("the maker")
    work = Output().work(look)
    who.set("somebody else")
    Running(lambda: do(work)).result()
    assert seen == ["the maker"]
    assert who.get() == "somebody else"


@pytest.mark.anyio
async def test_wait_for_work_that_is_over_returns_at_once() -> None:
    work = Output().work(lambda: None)
    do(work)
    with anyio.fail_after(LIMIT):
        await work.wait_over(current_portal(), LIMIT)


@pytest.mark.anyio
async def test_wait_ends_with_the_call_even_if_cancelled_before() -> None:
    work, go = Output().work(lambda: None), ThreadWaiter()

    def do_when_told() -> None:
        assert go.wait(LIMIT)
        do(work)

    running = Running(do_when_told)
    with anyio.fail_after(LIMIT), anyio.CancelScope() as scope:
        scope.cancel()
        current_portal().post(go.wake)  # done once this task waits
        await work.wait_over(current_portal(), LIMIT)
    assert work.over
    running.result()


@pytest.mark.anyio
async def test_wait_is_given_up_after_its_time() -> None:
    work = Output().work(lambda: None)
    with anyio.fail_after(LIMIT):
        await work.wait_over(current_portal(), 0.01)
    over = [work.over]
    do(work)  # which nobody waits for any more, and which harms nothing
    over.append(work.over)
    assert over == [False, True]
