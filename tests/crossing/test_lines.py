"""Lines against a model: any calls in any order, and nobody waits who could run."""

from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from asgi_bridge import Overloaded
from asgi_bridge.crossing.lines import Lines

from .jobs import Quick


class LinesMachine(RuleBasedStateMachine):
    """A pool without threads: jobs come, are promoted, withdrawn and ended."""

    @initialize(size=st.integers(1, 5), backlog=st.integers(0, 4))
    def make(self, size: int, backlog: int) -> None:
        self.size, self.backlog = size, backlog
        self.lines = Lines(size, backlog)
        self.running = 0
        self.ready: deque[Quick] = deque()
        self.unready: deque[Quick] = deque()
        self.gone: list[Quick] = []  # withdrawn, or begun from a line

    def free_for(self, *, ready: bool) -> bool:
        """Rule 1 in its own words: any worker, or fewer than half of them taken."""
        return self.running < (self.size if ready else self.size / 2)

    @rule(ready=st.booleans())
    def come(self, ready: bool) -> None:
        mine = self.ready if ready else self.unready
        job = Quick()
        if self.lines.take_place(ready=ready):
            assert self.free_for(ready=ready)
            assert not mine
            self.running += 1
            return
        assert mine or not self.free_for(ready=ready)
        try:
            self.lines.stand(job, ready=ready)
        except Overloaded:
            assert len(self.ready) + len(self.unready) == self.backlog
        else:
            mine.append(job)

    @precondition(lambda self: self.running)
    @rule()
    def end(self) -> None:
        """A job ends, and its worker looks for the next."""
        self.lines.busy -= 1
        self.running -= 1
        self.begin_next()

    def begin_next(self) -> None:
        job = self.lines.next_job()
        if self.ready and self.free_for(ready=True):
            expected = self.ready.popleft()
        elif self.unready and self.free_for(ready=False):
            expected = self.unready.popleft()
        else:
            assert job is None
            return
        assert job is expected
        self.running += 1
        self.gone.append(job)

    @precondition(lambda self: self.ready or self.unready or self.gone)
    @rule(choice=st.data())
    def promote(self, choice: st.DataObject) -> None:
        job = choice.draw(st.sampled_from([*self.ready, *self.unready, *self.gone]))
        self.lines.promote(job)
        if job in self.unready:
            self.unready.remove(job)
            self.ready.append(job)
            self.begin_next()

    @precondition(lambda self: self.ready or self.unready or self.gone)
    @rule(choice=st.data())
    def withdraw(self, choice: st.DataObject) -> None:
        job = choice.draw(st.sampled_from([*self.ready, *self.unready, *self.gone]))
        assert self.lines.withdraw(job) is (job not in self.gone)
        for line in (self.ready, self.unready):
            if job in line:
                line.remove(job)
                self.gone.append(job)

    @rule()
    def clear(self) -> None:
        assert self.lines.clear() == [*self.ready, *self.unready]
        self.gone += [*self.ready, *self.unready]
        self.ready.clear()
        self.unready.clear()

    @invariant()
    def lines_are_those_of_the_model(self) -> None:
        assert self.lines.busy == self.running <= self.size
        assert (self.lines.ready, self.lines.unready) == (self.ready, self.unready)
        assert self.lines.waiting == len(self.ready) + len(self.unready) <= self.backlog
        assert self.lines.has_room is (self.lines.waiting < self.backlog)

    @invariant()
    def nobody_waits_who_could_run(self) -> None:
        assert not (self.ready and self.free_for(ready=True))
        assert not (self.unready and self.free_for(ready=False))


TestLines = LinesMachine.TestCase
TestLines.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
