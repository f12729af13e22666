"""The least rate of a request's body."""

import pytest

from asgi_bridge import BodyTooSlow
from asgi_bridge.protocol.pace import Pace


@pytest.mark.parametrize(
    ("waits", "received", "slow"),
    [
        ([], 0, False),
        ([1.0], 0, False),  # within the grace
        ([2.0], 0, False),  # at its end nothing is owed yet
        ([2.5], 4, True),
        ([2.5], 5, False),
        ([1.0, 1.0, 1.0], 9, True),  # waits add up
        ([1.0, 1.0, 1.0], 10, False),
    ],
)
def test_rate_of_ten_bytes_after_two_seconds(waits: list[float], received: int, slow: bool) -> None:
    pace = Pace(10.0, 2.0)
    failures = [pace.failure_after(seconds, received) for seconds in waits]
    assert [failure for failure in failures[:-1] if failure] == []
    assert isinstance((failures or [None])[-1], BodyTooSlow) == slow


def test_failure_says_what_came_and_how_long_it_took() -> None:
    failure = Pace(10.0, 0.0).failure_after(3.4, 7)
    assert str(failure) == "7 request bytes in 3 s of waiting"
