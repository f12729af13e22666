"""Paired runs: every contender once per round, in turn, so that a slow minute slows them all."""

import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Measure = Callable[[], float]


class Unusable(Exception):
    """A contender cannot be measured here; the text says why and stands in its row."""


class Failed(Unusable):
    """It is there, and did not do what it should."""

    def __str__(self) -> str:
        return f"failed: {super().__str__()}"


@dataclass(frozen=True, slots=True)
class Series:
    """What several runs of one contender came to."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def high(self) -> float:
        return max(self.values)

    def per(self, other: "Series") -> "Series":
        """The ratio of each run to the run of `other` in the same round."""
        return Series(tuple(a / b for a, b in zip(self.values, other.values, strict=True)))


Outcome = Series | Unusable


def alternate(
    contenders: Mapping[str, Measure], *, runs: int, warm_up: bool = True
) -> dict[str, Outcome]:
    """Run A B C A B C ...; a contender that fails drops out, and its row says how it failed.

    Args:
        contenders: what each does for one run; it returns the run's figure.
        runs: measured rounds.
        warm_up: begin with a round that does not count.
    """
    values: dict[str, list[float]] = {name: [] for name in contenders}
    failed: dict[str, Unusable] = {}
    for round_number in range(-1 if warm_up else 0, runs):
        for name, measure in contenders.items():
            if name in failed:
                continue
            try:
                value = measure()
            except Unusable as reason:
                failed[name] = reason
                continue
            except Exception as error:  # its own failure, whatever it is: the others go on
                failed[name] = Failed(repr(error))
                continue
            if round_number >= 0:
                values[name].append(value)
    return {name: failed.get(name) or Series(tuple(values[name])) for name in contenders}


def progress(text: str) -> None:
    """Say on stderr what is being measured; stdout is for the results."""
    print(text, file=sys.stderr, flush=True)
