"""What notices that a client takes nothing any more, or sends nothing while it is waited for."""

from collections.abc import Callable
from functools import partial
from typing import Final

import anyio

from ..crossing.portal import Running
from ..errors import ReadTimeout, WriteTimeout
from ..intake import Intake
from ..logs import logger
from ..protocol.pace import nothing_came
from ..protocol.request import OPEN

# Seconds that a body stands still behind a response, after which the log says why that may be.
STOPPED: Final = 5.0


def be_patient(
    intake: Intake, abort: Callable[[WriteTimeout], None], seconds: float | None
) -> Running | None:
    """Have `abort` called once one send has taken as long as `seconds`.

    Returns:
        The task that waits for that, to be cancelled; None where there is no limit.
    """
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


def keep_place(
    intake: Intake, stands: Callable[[], bool], give_up: Callable[[ReadTimeout], None]
) -> Running | None:
    """Have `give_up` called for a request whose client sends nothing while it stands in line.

    A worker that it got would only wait for `Limits.read_timeout` again, and all behind it with it:
    three hundred uploads that stop would hold up everyone for eight times that.

    Args:
        intake: the request.
        stands: whether it still stands in line.
        give_up: called at most once.

    Returns:
        The task that looks, to be cancelled; None where there is no limit.
    """
    seconds = intake.limits.read_timeout
    if seconds is None:
        return None
    return intake.portal.spawn(partial(_lose_place, intake, seconds, stands, give_up))


async def _lose_place(
    intake: Intake,
    seconds: float,
    stands: Callable[[], bool],
    give_up: Callable[[ReadTimeout], None],
) -> None:
    body = intake.body
    seen = body.received
    while True:
        await anyio.sleep(seconds)
        if not stands() or body.phase is not OPEN or intake.failure is not None:
            return  # what was refused, or whose receive() failed, is answered for that, in its turn
        # a client that we do not read from has not stopped
        if body.received == seen and intake.expected and not intake.full:
            give_up(nothing_came(seconds))
            return
        seen = body.received


def warn_of_stopped_body(intake: Intake) -> Running | None:
    """Have the log name the likely cause where a body stops once the response has begun.

    Returns:
        The task that looks, to be cancelled; None where no proxy is to be seen, or no body comes.
    """
    if not (intake.behind_proxy and intake.expected):
        return None
    return intake.portal.spawn(partial(_warn_of_stopped_body, intake))


async def _warn_of_stopped_body(intake: Intake) -> None:
    body = intake.body
    seen = body.received
    while True:
        await anyio.sleep(STOPPED)
        if not intake.expected or intake.failure is not None:
            return
        if body.received == seen and not intake.full:
            if intake.portal.stopped_bodies.due():
                logger.warning(
                    "%s: no request bytes for %s s, since the response has begun; a proxy is in "
                    "between, and nginx sends no more of a request then: Limits(duplex='half') "
                    "holds the response until the request is here",
                    intake,
                    STOPPED,
                )
            return
        seen = body.received
