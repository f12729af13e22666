"""What a check has found: one word for the table, and the facts."""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """What somebody at the client, or the author of the application, would have seen."""

    OK = "ok"
    LOST = "lost"
    HANG = "hang"
    BROKEN = "broken"
    FALSE_END = "false end"
    DESYNC = "desync"
    MISSED = "missed"
    WRONG = "wrong"
    GONE = "server gone"
    NOT_OFFERED = "not offered"


MEANINGS = {
    Outcome.LOST: "the answer looked complete, and bytes were missing or changed",
    Outcome.HANG: "nothing came any more, and no end either",
    Outcome.BROKEN: "the connection or stream ended where a whole answer was due",
    Outcome.FALSE_END: "a failure that looked like a complete answer",
    Outcome.DESYNC: "bytes of one answer were taken for the next one",
    Outcome.MISSED: "the application, or the client, was not told what it had to know",
    Outcome.WRONG: "another answer than the one that was due",
    Outcome.GONE: "as before it, and afterwards the server answered nobody",
    Outcome.NOT_OFFERED: "the server has no such thing, or not without another package",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check has found in one column.

    Attributes:
        outcome: the word for it.
        detail: the facts behind it, empty for an OK.
        seconds: how long it took.
    """

    outcome: Outcome
    detail: str = ""
    seconds: float = 0.0


OK = Finding(Outcome.OK)


def found(outcome: Outcome, detail: str) -> Finding:
    return Finding(outcome, detail)


def expect(seen: object, due: object, outcome: Outcome = Outcome.WRONG) -> Finding:
    """OK if what was seen is what was due; else the outcome, with both in the detail."""
    return OK if seen == due else Finding(outcome, f"{seen!r} instead of {due!r}")


def intact(seen: bytes, due: bytes) -> Finding:
    """OK if a body has come as it was due."""
    if seen == due:
        return OK
    if len(seen) == len(due):
        return Finding(Outcome.LOST, f"all {len(due)} bytes came, but not the right ones")
    return Finding(Outcome.LOST, f"{len(seen)} of {len(due)} bytes came")
