# What this module decides: whether a request's body comes fast enough.
#
# Rule 1: only the time counts in which somebody waited for it. A handler that computes for a minute
#         is not its client's fault.
# Rule 2: some seconds of that are free.
# Rule 3: what has come by the end of a wait counts for it, used up or not.
"""Pace: holds a request's body to a rate."""

from ..errors import BodyTooSlow, ReadTimeout


class Pace:
    """The least rate of one body.

    Args:
        rate: bytes a second.
        grace: seconds of waiting that are not counted.
    """

    __slots__ = ("_grace", "_rate", "_waited")

    def __init__(self, rate: float, grace: float) -> None:
        self._rate = rate
        self._grace = grace
        self._waited = 0.0  # seconds

    def failure_after(self, seconds: float, received: int) -> BodyTooSlow | None:
        """Count a wait; say what is to be raised after it, if anything is.

        Args:
            seconds: how long it took.
            received: bytes of the body that have come by now, in all.
        """
        self._waited += seconds
        if received >= self._rate * (self._waited - self._grace):
            return None
        return BodyTooSlow(f"{received} request bytes in {self._waited:.0f} s of waiting")


def nothing_came(seconds: float | None) -> ReadTimeout:
    """What whoever has waited for `seconds` in vain is told."""
    return ReadTimeout(f"no request bytes for {seconds} s")
