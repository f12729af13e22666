# How bytes cross between a thread and a loop.
#
# Rule 1: both ends do their work under one short lock and without a condition variable; the lock
#         is never held while anything waits or any foreign code runs.
# Rule 2: a side is woken once per transition (empty to filled, high to low), and only if it said
#         that it waits. How it is woken is its own business: a thread parks on a lock, a loop on
#         a future (see waiters.py), and the channel only calls `_wake_sender` or `_wake_receiver`.
# Rule 3: the receiver takes all there is in one swap, and gives the room back as it works through
#         it with `release`. So the bound holds over both ends, and taking is cheap.
# Rule 4: closing (`end`) lets what is held be read first. Breaking (`break_with`) drops it.
"""Channel: a bounded one-way conduit with one sender and one receiver."""

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..protocol.watermarks import Watermarks
from .ending import Ending, EndOfStream

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """A moment of a channel: bytes held, and which end has said that it waits."""

    held_bytes: int
    sender_waits: bool
    receiver_waits: bool


class Channel(Ending, ABC, Generic[T]):
    """Bounded conduit for chunks whose size the sender states.

    Args:
        watermarks: when to stop the sender and when to let it go on.

    Threads: one sender and one receiver, each on any thread; `break_with` from anywhere.
    """

    __slots__ = (
        "_chunks",
        "_held",
        "_high",
        "_low",
        "_receiver_waits",
        "_sender_waits",
    )

    def __init__(self, watermarks: Watermarks) -> None:
        super().__init__()
        self._high = watermarks.high
        self._low = watermarks.low
        self._chunks: deque[T] = deque()  # guarded by _lock
        self._held = 0  # guarded by _lock
        self._sender_waits = False  # guarded by _lock
        self._receiver_waits = False  # guarded by _lock

    @abstractmethod
    def _wake_sender(self) -> None:
        """Called on the receiver's thread: a sender that was stopped may go on."""

    @abstractmethod
    def _wake_receiver(self) -> None:
        """Called on the sender's thread: there is something for a receiver that waits."""

    def _gathers(self, *, room: bool) -> bool:
        """Whether a receiver that waits is left alone, though there is something for it.

        Called with the lock held. It has to be woken later, if it is left alone.

        Args:
            room: whether the sender may go on.
        """
        return False

    # The sender's end.

    def put_nowait(self, chunk: T, size: int) -> bool:
        """Add a chunk; say whether the sender may go on at once.

        A chunk of any size is taken, so a channel holds at most its high watermark less one byte
        and one chunk more. After False the sender must wait to be woken before it sends again.

        Args:
            chunk: what to send.
            size: its size in bytes.

        Raises:
            BaseException: what `break_with` was given; the channel is broken.
        """
        with self._lock:
            if self._ending is not None:
                raise self._to_raise(self._ending)
            self._chunks.append(chunk)
            self._held = held = self._held + size
            room = held < self._high
            if not room:
                self._sender_waits = True
            wake = self._receiver_waits and not self._gathers(room=room)
            if wake:
                self._receiver_waits = False
        if wake:
            self._wake_receiver()
        return room

    def has_room(self) -> bool:
        """Whether a sender that was stopped may go on; if not, it will be woken.

        Raises:
            BaseException: what `break_with` was given.
        """
        with self._lock:
            if self._ending is not None:
                raise self._to_raise(self._ending)
            self._sender_waits = self._sender_waits and self._held > self._low
            return not self._sender_waits

    def end(self, error: BaseException | None = None, *, last: T | None = None) -> None:
        """Say that nothing more will come; the receiver meets it after all that is held.

        Args:
            error: what the receiver raises then, None for a clean end.
            last: one more chunk, which the receiver gets together with the end. It is not held
                against the watermarks, since nobody waits to send after it.

        A channel that has ended or is broken stays as it is.
        """
        with self._lock:
            if self._ending is None:
                if last is not None:
                    self._chunks.append(last)
                self._ending = error = EndOfStream() if error is None else error
                self._ending_traceback = error.__traceback__
            else:  # the sender is done, and so are the frames that it may have met it in
                self._ending.__traceback__ = self._ending_traceback
            wake = self._receiver_waits
            self._receiver_waits = False
        if wake:
            self._wake_receiver()

    # The receiver's end.

    def take_nowait(self) -> deque[T] | None:
        """Take every chunk that is held.

        Returns:
            The chunks, at least one; or None where there are none, and then the receiver is woken
            when that changes.

        Raises:
            EndOfStream: the sender has closed the channel.
            BaseException: what `end` or `break_with` was given.
        """
        with self._lock:
            if self._chunks:
                taken = self._chunks
                self._chunks = deque()
                return taken
            if self._ending is not None:
                raise self._to_raise(self._ending)
            self._receiver_waits = True
            return None

    def release(self, size: int) -> None:
        """Give back the room of chunks that were taken and are used up.

        Args:
            size: their bytes.
        """
        with self._lock:
            self._held -= size
            wake = self._sender_waits and self._held <= self._low
            if wake:
                self._sender_waits = False
        if wake:
            self._wake_sender()

    # Either end.

    @property
    def release_step(self) -> int:
        """How many bytes a receiver may use up before it must give back their room.

        A quarter of the way from the high watermark to the low one: a sender that waits is let
        go at most that much late.
        """
        return (self._high - self._low) // 4

    @property
    def exhausted(self) -> bool:
        """Whether the channel was closed cleanly and its last chunk has been taken."""
        with self._lock:
            return not self._chunks and isinstance(self._ending, EndOfStream)

    def break_with(self, error: BaseException) -> None:
        """Drop what is held and make both ends raise `error` from now on.

        A channel that is broken already keeps its first error; one that was closed cleanly and
        still holds chunks is broken too, since nobody will take them.
        """
        with self._lock:
            if self._ending is None or isinstance(self._ending, EndOfStream):
                self._ending = error
                self._ending_traceback = error.__traceback__
            self._chunks.clear()
            wake_receiver, self._receiver_waits = self._receiver_waits, False
            wake_sender, self._sender_waits = self._sender_waits, False
        if wake_receiver:
            self._wake_receiver()
        if wake_sender:
            self._wake_sender()

    def statistics(self) -> ChannelStatistics:
        """A consistent look at the channel, for tests and logs."""
        with self._lock:
            return ChannelStatistics(self._held, self._sender_waits, self._receiver_waits)

    def __repr__(self) -> str:
        seen = self.statistics()
        return (
            f"<{type(self).__name__} held={seen.held_bytes} high={self._high} low={self._low}"
            f"{' ended' if self.ended else ''}"
            f"{' sender waits' if seen.sender_waits else ''}"
            f"{' receiver waits' if seen.receiver_waits else ''}>"
        )
