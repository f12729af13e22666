"""The channel of a request's body, from a loop into a thread."""

from collections.abc import Callable
from typing import Final, TypeVar

from ..protocol.watermarks import Watermarks
from .channel import Channel

T = TypeVar("T")


class ByteChannel(Channel[T]):
    """A channel that is told how its two sides are woken.

    Args:
        watermarks: when to stop the sender and when to let it go on.
        wake_sender: called, on the receiver's thread, when a stopped sender may go on.
        wake_receiver: called, on the sender's thread, when a waiting receiver has something.
    """

    __slots__ = ("_on_data", "_on_room")

    def __init__(
        self,
        watermarks: Watermarks,
        *,
        wake_sender: Callable[[], None],
        wake_receiver: Callable[[], None],
    ) -> None:
        super().__init__(watermarks)
        self._on_room = wake_sender
        self._on_data = wake_receiver

    def _wake_sender(self) -> None:
        self._on_room()

    def _wake_receiver(self) -> None:
        self._on_data()


# Bytes. A chunk this small costs more as an object than as bytes, and is joined to the one before
# it while that has not grown to what is cheap to copy.
TINY: Final = 256
JOINED: Final = 4096


class BodyChannel(ByteChannel[bytes]):
    """A channel of a body's chunks, which does not hold tiny ones one by one.

    Its watermarks count bytes. A million chunks of two bytes would be 60 MB of objects.
    """

    __slots__ = ()

    def put_tiny(self, chunk: bytes) -> bool:
        """`put_nowait` for a chunk of at most `TINY` bytes; others are not worth a copy."""
        with self._lock:
            if self._chunks and self._ending is None and len(self._chunks[-1]) < JOINED:
                last = self._chunks.pop()  # nobody else puts anything meanwhile
                self._held -= len(last)
                chunk = last + chunk
        return self.put_nowait(chunk, len(chunk))
