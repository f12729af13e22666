"""What applications note, under the key of the test that asks them, and gates that tests open."""

import asyncio
from collections import defaultdict
from typing import Final

_notes: Final[defaultdict[str, list[str]]] = defaultdict(list)
_gates: Final[defaultdict[str, asyncio.Event]] = defaultdict(asyncio.Event)


def note(key: str, what: str) -> None:
    """Note something, from any thread."""
    _notes[key].append(what)


def of(key: str) -> list[str]:
    """All that was noted under a key."""
    return list(_notes[key])


def gate(key: str) -> asyncio.Event:
    """What is set once the test has opened it."""
    return _gates[key]
