"""What a server's processes hold, as the system sees it: threads, files, memory."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
POLL = 0.02


@dataclass(frozen=True, slots=True)
class Census:
    """A moment of a process and its children.

    Attributes:
        threads: how many it has.
        files: descriptors, sockets among them.
        unlinked: those of files that have no name any more: spools.
        resident: bytes of memory that it has and shares with nobody's file.
    """

    threads: int
    files: int
    unlinked: int
    resident: int


def census(pid: int) -> Census:
    """Count what a process and its children hold now."""
    threads = files = unlinked = resident = 0
    for each in family(pid):
        try:
            threads += len(os.listdir(PROC / str(each) / "task"))
            targets = [link_of(fd) for fd in (PROC / str(each) / "fd").iterdir()]
            resident += anonymous_memory(each)
        except (FileNotFoundError, ProcessLookupError):
            continue  # a child that has just ended
        files += len(targets)
        unlinked += sum(target.endswith(" (deleted)") for target in targets)
    return Census(threads, files, unlinked, resident)


def family(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for parent in found:
        for children in (PROC / str(parent) / "task").glob("*/children"):
            try:
                found.extend(map(int, children.read_text().split()))
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def link_of(fd: Path) -> str:
    try:
        return os.readlink(fd)
    except FileNotFoundError:  # closed since it was listed
        return ""


def anonymous_memory(pid: int) -> int:
    for line in (PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def settled(look: Callable[[], Census], accept: Callable[[Census], bool], limit: float) -> Census:
    """Look until what is seen is accepted or the time is up, seconds; the last look."""
    deadline = time.monotonic() + limit
    seen = look()
    while not accept(seen) and time.monotonic() < deadline:
        time.sleep(POLL)
        seen = look()
    return seen
