# How a channel's end is met.
#
# Rule 1: it is met more than once, at both ends. An error that is raised more than once is raised
#         with the traceback it came with. Left alone, each raise adds frames to it, and each frame
#         keeps a chunk alive.
# Rule 2: a clean end is raised as a new exception each time: its frames hold the channel.
"""Ending: what a channel ended or was broken with."""

from threading import Lock
from types import TracebackType


class EndOfStream(Exception):
    """The sender has closed the channel and all that it sent has been taken."""


class Ending:
    """The end of something, open to begin with.

    Threads: any.
    """

    __slots__ = ("_ending", "_ending_traceback", "_lock")

    def __init__(self) -> None:
        self._lock = Lock()
        self._ending: BaseException | None = None  # guarded by _lock; set once
        self._ending_traceback: TracebackType | None = None  # belongs to _ending

    @property
    def ended(self) -> bool:
        """Whether the last chunk has been put; it may still be held."""
        return self._ending is not None

    @property
    def failure(self) -> BaseException | None:
        """What it ended or was broken with, None while it is open or after a clean end."""
        ending = self._ending
        return None if isinstance(ending, EndOfStream) else ending

    def forget_frames(self) -> None:
        """Let go the frames that an error came through; whoever had to see them has.

        They hold what they worked on, and often this channel, which holds the error.
        """
        with self._lock:
            self._ending_traceback = None
            if self._ending is not None:
                self._ending.__traceback__ = None

    def forget(self, error: BaseException) -> None:
        """Both ends are done: let go the error that was met, and have `error` met from now on.

        What the old one came through is still wanted by whoever it went on to, so its frames stay.
        """
        with self._lock:
            self._ending, self._ending_traceback = error, None

    def _to_raise(self, ending: BaseException) -> BaseException:
        if type(ending) is EndOfStream:
            return EndOfStream()
        return ending.with_traceback(self._ending_traceback)
