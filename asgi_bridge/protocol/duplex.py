# What this module decides: when a request goes the way round, over a disk.
#
# Many clients write the whole request before they read a byte of the response. Against a handler
# that answers while it reads, both sides then wait for ever: the client's writes for the server,
# which does not receive, for the handler, which does not read, since its writes wait for the
# server's sends, which wait for the client. Nothing in the request tells such a client beforehand.
#
# Rule 1: it is a stall when a send is under way, a chunk of the request finds no room, and neither
#         the number of sends nor the bytes that wait for the reader have changed for the whole of
#         the stall timeout.
# Rule 2: in a stall everything that comes goes into the spool, until the output moves.
# Rule 3: a send or two may be let through by something else than a client that reads: a buffer on
#         the way, or a server whose send waits for room to tell of the disconnect. But if the
#         output goes on although the client is still writing, then it does read, only slowly. So
#         nothing more is received until the spool is empty, and the next stall has to last twice
#         as long. What is spooled for a slow reader without need is thus little.
# Rule 4: when the spool is empty, the bytes go straight to the reader again.
"""Whether the body of a request goes straight to its reader, or through a spool on disk."""

from collections.abc import Mapping
from typing import Final

from .word import Word


class Way(Word):
    """The way that the body of a request takes."""

    DIRECT = "direct"  # straight to the reader
    SPOOLING = "spooling"  # into the spool, and out of it as the reader has room
    EMPTYING = "emptying"  # out of the spool only; nothing is received


class DuplexSignal(Word):
    """What the table knows of."""

    STALL = "neither side has moved"
    OUTPUT_MOVED = "the client has taken output"
    EMPTIED = "the spool is empty"


WAYS: Final[Mapping[tuple[Way, DuplexSignal], Way]] = {
    (Way.DIRECT, DuplexSignal.STALL): Way.SPOOLING,
    (Way.SPOOLING, DuplexSignal.OUTPUT_MOVED): Way.EMPTYING,
    (Way.SPOOLING, DuplexSignal.EMPTIED): Way.DIRECT,
    (Way.EMPTYING, DuplexSignal.STALL): Way.SPOOLING,
    (Way.EMPTYING, DuplexSignal.EMPTIED): Way.DIRECT,
}

# A stall of 0.2 s is 3.2 s after four mistakes: a client that takes nothing for so long while the
# server could receive is not a slow reader in any useful sense. Out of the air.
MOST_DOUBLINGS: Final = 4
# How many sends rule 3 asks for; out of the air. A socket of a slow reader takes more at a time.
MOVED_SENDS: Final = 8


class Duplex:
    """Follows one exchange; it is told when to look, and has no clock of its own.

    Args:
        stall_timeout: how long nothing may move, in seconds.

    Attributes:
        way: where the body goes now; to be read only.
        timeout: seconds from one look to the next.
    """

    __slots__ = ("_doublings", "_seen", "_sends_at_stall", "timeout", "way")

    def __init__(self, stall_timeout: float) -> None:
        self.timeout = stall_timeout
        self.way = Way.DIRECT
        self._doublings = 0
        self._seen: tuple[int, int] | None = None
        self._sends_at_stall = 0

    def begin(self, sends: int, unread: int) -> None:
        """Look for the first time, unless that was done; the arguments are those of `look`."""
        if self._seen is None:
            self._seen = (sends, unread)

    def look_again(self) -> None:
        """Forget the last look: the request has moved in between."""
        self._seen = None

    def look(self, sends: int, unread: int) -> bool:
        """Look at both sides, `timeout` after the last look; say whether they have stalled.

        Args:
            sends: how many sends were begun or ended; odd while one is under way.
            unread: bytes of the request that wait for its reader, or that it has not used up.
        """
        before, self._seen = self._seen, (sends, unread)
        if sends % 2 == 0 or self._seen != before:
            return False
        self._sends_at_stall = sends
        self._move(DuplexSignal.STALL)
        return True

    def sent(self, sends: int) -> None:
        """Say how many sends there were by now; with the client still writing, see rule 3."""
        if self.way is Way.SPOOLING and sends >= self._sends_at_stall + 2 * MOVED_SENDS:
            self._move(DuplexSignal.OUTPUT_MOVED)
            if self._doublings < MOST_DOUBLINGS:
                self._doublings += 1
                self.timeout *= 2

    def emptied(self) -> None:
        """The spool is empty."""
        self._move(DuplexSignal.EMPTIED)

    def _move(self, signal: DuplexSignal) -> None:
        self.way = WAYS.get((self.way, signal), self.way)
        self._seen = None
