"""What the command line sets for every benchmark."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How much is measured.

    Attributes:
        runs: measured rounds, each contender once per round.
        quick: an eighth of the work in each run, to see that all is well; not for quoting.
    """

    runs: int
    quick: bool

    def scaled(self, count: int) -> int:
        return max(1, count // 8) if self.quick else count
