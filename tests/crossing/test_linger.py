"""Patience: how often a pool tries to linger, by how it went of late."""

from asgi_bridge.crossing.linger import MOST_MISSES, Patience

LONGEST = 2**MOST_MISSES


def pause(patience: Patience) -> int:
    """For how many jobs it is not tried."""
    for count in range(LONGEST + 1):
        if patience.willing():
            return count
    raise AssertionError("it is never tried again")


def pause_after_a_miss(patience: Patience) -> int:
    patience.miss()
    return pause(patience)


def test_it_is_tried_at_once_and_as_long_as_it_pays() -> None:
    patience = Patience()
    for _ in range(10):
        assert pause(patience) == 0
        patience.hit()


def test_misses_in_a_row_make_the_pause_longer_up_to_a_bound() -> None:
    patience = Patience()
    pauses = [pause_after_a_miss(patience) for _ in range(8)]
    assert pauses == [4, 16, 64, 256, LONGEST, LONGEST, LONGEST, LONGEST]


def test_hits_make_the_next_pause_shorter() -> None:
    patience = Patience()
    pauses = []
    for hits in (0, 1, 2, 3, 100):
        for _ in range(hits):
            patience.hit()
        pauses.append(pause_after_a_miss(patience))
    assert pauses == [4, 8, 8, 4, 4]


def test_jobs_that_are_slow_half_of_the_time_make_it_give_up() -> None:
    patience = Patience()
    for _ in range(2 * MOST_MISSES):
        patience.miss()
        patience.hit()
    assert pause_after_a_miss(patience) == LONGEST
