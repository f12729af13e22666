# When a thread is woken for what a loop has for it.
#
# Rule 1: to wake a thread on another core takes 15 to 40 us (measured), as much as to work on a
#         chunk of 64 KiB. While chunks come with every turn of the loop they are gathered first.
# Rule 2: nothing waits for what may not come: a whole turn that brings nothing more ends the
#         gathering. So a client that waits for the answer to its last chunk waits two turns longer.
# Rule 3: an end, and a break, are no reason to gather.
"""Doorbell: wakes the thread that waits for a channel's bytes."""

from threading import get_ident
from typing import Any, Final

from .channel import Channel
from .portal import Portal
from .waiters import ThreadWaiter

# Bytes for which a thread is woken with the next turn. Measured, uploads beside pure async: on
# Hypercorn 0.84x if it is woken for each chunk, 0.91x with this, and no more with twice as much; on
# uvicorn, 8 at once, 0.89x and 1.01x.
WORTH_WAKING: Final = 256 * 1024


class Doorbell:
    """What a channel rings, once each time that its receiver waits.

    Args:
        portal: the loop that puts into the channel.
        waiter: where the thread waits.

    Attributes:
        channel: set once it is there.

    Threads: the loop's, and any that breaks the channel.
    """

    __slots__ = ("_portal", "_seen", "_waiter", "_whole_turn", "channel")

    def __init__(self, portal: Portal, waiter: ThreadWaiter) -> None:
        self._portal = portal
        self._waiter = waiter
        self.channel: Channel[Any]
        self._seen = 0  # bytes held when there were more the last time
        self._whole_turn = False  # one has begun since then

    def ring(self) -> None:
        """There is something to be taken, or an end to be met."""
        if self.channel.ended or get_ident() != self._portal.thread_id:
            self._waiter.wake()
        else:
            self._gather()

    def _gather(self) -> None:
        self._seen = self.channel.held
        self._whole_turn = False
        self._portal.soon(self._look)

    def _look(self) -> None:
        """A turn of the loop is over, or the rest of the one in which the last bytes came."""
        held = self.channel.held
        if held >= WORTH_WAKING or self.channel.ended:
            self._waiter.wake()
        elif held > self._seen:
            self._gather()
        elif not self._whole_turn:
            self._whole_turn = True
            self._portal.soon(self._look)
        else:
            self._waiter.wake()
