# When the loop's other tasks have their turn.
#
# Rule 1: a server's receive() and send() need not suspend, so whoever goes through messages has to
#         let others run by itself. Measured: 200 sends to servers of three kinds, and no other task
#         ran meanwhile, so not even the disconnect could be noticed.
# Rule 2: a turn costs 3 to 6 us, in memory as much as a message, so it is not owed for each one.
"""TakesTurns: counts what was done since the loop's other tasks had their turn."""

from typing import Final

# How much is passed on to a server, or taken from it, between two turns of the others: some 100 us
# of copying, and four messages of the default size.
YIELD_BYTES: Final = 256 * 1024
# What a message counts beside its bytes, so that a stream of tiny ones comes to it as well.
YIELD_COST: Final = 4 * 1024


class TakesTurns:
    """Somebody on the loop who goes through messages.

    Attributes:
        turn_bytes: how much it may do in one go.
    """

    turn_bytes = YIELD_BYTES
    _since_turn = 0  # bytes and costs

    def _owes_turn(self, size: int) -> bool:
        """Whether the others are to run now.

        Args:
            size: of one more message, in bytes.
        """
        self._since_turn += size + YIELD_COST
        if self._since_turn < self.turn_bytes:
            return False
        self._since_turn = 0
        return True
