"""When a channel stops its producer and when it lets it go on."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermarks:
    """The two levels of a channel, in bytes held.

    Attributes:
        high: at or above it the producer stops.
        low: at or below it a stopped producer goes on.

    Raises:
        ValueError: not 0 <= low < high.
    """

    # Measured in memory, `read(65536)` and yield, chunks of 64 KiB: to pass the GIL from one core
    # to the other costs some 100 us, so a chunk takes 15 us with 512 KiB, 10 with 1 MiB, 8 with 2.
    high: int = 2 * 1024 * 1024
    low: int = 512 * 1024

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high:
            raise ValueError(f"need 0 <= low < high, got low={self.low}, high={self.high}")
