# Why a loop lingers.
#
# A loop that wakes a worker and goes on has two threads fight for the GIL, on two cores with two
# caches, and is woken in its turn through a selector and a pipe. There and back that costs some
# 90 us (measured: 2 cores, Linux); what the worker does in between, with the GIL, often costs
# less. So the loop collects the small jobs of one turn, and then lingers: it wakes one worker for
# all of them, and waits on a lock, with the GIL let go, until that has nothing more to do (12 us
# there and back). What the worker posts meanwhile needs no pipe.
#
# Rule 1: it never waits longer than LINGER.
# Rule 2: a job that outlasts it (it waits for a disk, or computes with the GIL let go) is a miss,
#         and the pause until lingering is tried again is 2 ** misses jobs. A miss counts two, a hit
#         takes one back, so where jobs are slow half of the time it soon ends.
# Rule 3: only jobs that have all their input. For streams it was tried and did not pay.
"""Lingering: when a loop waits a moment for its workers, instead of being woken by them."""

from typing import Final

# Seconds. It holds a batch of small requests; and a loop that is late by as much for a miss every
# 1024 jobs is not late by anyone's measure.
LINGER: Final = 0.0005
MOST_MISSES: Final = 10


class Patience:
    """Whether lingering pays, from how it went of late. Threads: the caller holds a lock."""

    __slots__ = ("_misses", "_skip")

    def __init__(self) -> None:
        self._misses = 0
        self._skip = 0  # for how many jobs more it is not tried

    def willing(self) -> bool:
        """Whether to linger for the job that is due now."""
        if self._skip:
            self._skip -= 1
            return False
        return True

    def hit(self) -> None:
        """The jobs were done in time."""
        self._misses = max(0, self._misses - 1)

    def miss(self) -> None:
        """They were not."""
        self._misses = min(self._misses + 2, MOST_MISSES)
        self._skip = 1 << self._misses
