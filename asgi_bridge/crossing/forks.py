# What a fork copies of a pool, and of the locks of modules.
#
# Rule 1: the child has the parent's locks, perhaps locked, and none of its threads but the one that
#         forked. So nothing of the parent's is used there, not even to be closed.
# Rule 2: the jobs in line are the parent's. The child does none of them.
"""Forks: begins anew in the child of a fork what the parent's threads had in hand."""

import os
import threading
from typing import Final, Protocol
from weakref import WeakSet


class Copied(Protocol):
    """What a fork may copy in the midst of its work."""

    def begin_anew(self) -> None:
        """Forget the parent's threads and locks; in the child, on its only thread."""


_copied: Final[WeakSet[Copied]] = WeakSet()


class RenewedLock:
    """A module's lock: what is held in the parent is not held in the child.

    Attributes:
        lock: to be looked up each time that it is taken.
    """

    def __init__(self) -> None:
        on_fork(self)
        self.begin_anew()

    def begin_anew(self) -> None:
        """Another lock, which nobody holds."""
        self.lock = threading.Lock()


def on_fork(copied: Copied) -> None:
    """Have this begin anew in every child that is forked, as long as somebody holds it."""
    _copied.add(copied)


def begin_anew() -> None:
    """Begin anew; called in a child before it does anything else."""
    for copied in list(_copied):
        copied.begin_anew()


if hasattr(os, "register_at_fork"):  # pragma: no branch  # Windows has no fork
    os.register_at_fork(after_in_child=begin_anew)
