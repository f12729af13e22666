# Who sends next, while one task's send has to wait.
#
# Rule 1: a turn is handed over and not let go: nobody who comes meanwhile is faster than those who
#         stand in line.
# Rule 2: whoever is cancelled leaves the line, or passes on the turn that it has just been given.
"""Line: an exchange's tasks that have something to send, one behind the other."""

from collections import deque

from ..crossing.portal import Portal
from ..crossing.waiters import LoopWaiter


class Line:
    """Where tasks stand while one of them has its turn, from the beginning whoever made this.

    Args:
        portal: the loop.

    Attributes:
        taken: whether a task has its turn; to be read only.

    Threads: the loop's.
    """

    __slots__ = ("_portal", "_waiting", "taken")

    def __init__(self, portal: Portal) -> None:
        self.taken = True
        self._portal = portal
        self._waiting: deque[LoopWaiter] = deque()

    async def stand(self) -> None:
        """Wait for the turn of this task, which `end_turn` hands over. It has to end that."""
        waiter = self._portal.waiter()
        self._waiting.append(waiter)
        try:
            await waiter.wait()
        except BaseException:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            else:
                self.end_turn()  # it was ours already
            raise

    def end_turn(self) -> None:
        """The next one has its turn, if there is one."""
        if self._waiting:
            self._waiting.popleft().ring()
        else:
            self.taken = False

    def let_all_go(self) -> None:
        """The exchange is over: whoever still stands here goes on, and meets what it meets."""
        while self._waiting:
            self._waiting.popleft().ring()
