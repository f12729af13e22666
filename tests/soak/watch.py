"""What a server's processes hold in the course of a soak."""

import asyncio
import time
from dataclasses import dataclass, field

from ..faults.census import census

INTERVAL = 0.5  # seconds between two looks
# Of the time. Memory is expected to grow until every thread has been used, and the heap that the C
# library gives each of them has met the worst that the traffic has for it.
WARM_UP = 0.5


@dataclass(slots=True)
class Watch:
    """Looks at one server now and then.

    Attributes:
        looks: pairs of seconds and bytes of memory.
    """

    pid: int
    looks: list[tuple[float, int]] = field(default_factory=list)

    async def run(self) -> None:
        """Look until cancelled."""
        began = time.monotonic()
        while True:
            seen = await asyncio.to_thread(census, self.pid)
            self.looks.append((time.monotonic() - began, seen.resident))
            await asyncio.sleep(INTERVAL)

    @property
    def first(self) -> int:
        """The memory that it began with, in bytes."""
        return self.looks[0][1]

    @property
    def settled(self) -> list[tuple[float, int]]:
        """The looks after the warm-up."""
        end = self.looks[-1][0]
        return [look for look in self.looks if look[0] >= end * WARM_UP]

    @property
    def slope(self) -> float:
        """Growth after the warm-up, in bytes a second: least squares."""
        looks = self.settled
        middle = sum(at for at, _ in looks) / len(looks)
        mean = sum(held for _, held in looks) / len(looks)
        spread = sum((at - middle) ** 2 for at, _ in looks)
        if not spread:
            return 0.0
        return sum((at - middle) * (held - mean) for at, held in looks) / spread

    @property
    def peak(self) -> int:
        """The most memory that it had, in bytes."""
        return max(held for _, held in self.looks)
