"""What notices that a client takes nothing any more."""

from collections.abc import Callable
from functools import partial

import anyio

from ..crossing.portal import Running
from ..errors import WriteTimeout
from ..intake import Intake


def be_patient(intake: Intake, abort: Callable[[WriteTimeout], None]) -> Running | None:
    """Have `abort` called once one send has taken as long as `Limits.write_timeout`.

    Returns:
        The task that waits for that, to be cancelled; None where there is no limit.
    """
    seconds = intake.limits.write_timeout
    if seconds is None:
        return None
    return intake.portal.spawn(partial(_lose_patience, intake, seconds, abort))


async def _lose_patience(
    intake: Intake, seconds: float, abort: Callable[[WriteTimeout], None]
) -> None:
    """Look every now and then whether a send is still the one that was there before.

    A timer for each send would cost as much as the send does. So it takes one to two timeouts.
    """
    seen = intake.sends
    while True:
        await anyio.sleep(seconds)
        if intake.sends == seen and seen % 2:
            abort(WriteTimeout(f"the client took no response bytes for {seconds} s"))
            return
        seen = intake.sends
