"""A clock that tests put forward: time goes by as ever, and as far ahead as a test says besides.

So what takes a minute is over at once, nothing else is over for being slow, and a limit that a test
waits with still ends the wait.
"""

import asyncio
import sys
from typing import Any

import anyio.lowlevel
import trio
import trio.testing

from .helpers import settled


class _Loop(asyncio.SelectorEventLoop):
    """An asyncio loop with such a clock; trio has one."""

    _ahead = 0.0

    def time(self) -> float:
        return super().time() + self._ahead

    def jump(self, seconds: float) -> None:
        """Put the clock forward."""
        self._ahead += seconds


def backend_with_clock(name: str) -> tuple[str, dict[str, Any]]:
    """The value of an `anyio_backend` fixture: one of the two event loops, with such a clock."""
    if name == "trio":
        return name, {"clock": trio.testing.MockClock(rate=1.0)}
    return name, {"loop_factory": _Loop}


async def later(seconds: float) -> None:
    """So much later, when whoever slept no longer than that has had its turn."""
    clock: Any  # trio.testing.MockClock | _Loop
    if "trio" in sys.modules and trio.lowlevel.in_trio_run():
        clock = trio.lowlevel.current_clock()
    else:
        clock = asyncio.get_running_loop()
    clock.jump(seconds)
    # asyncio looks at its timers once in a turn; what they wake comes in the next, and then we
    for _ in range(3):
        await anyio.lowlevel.checkpoint()
    await settled()
