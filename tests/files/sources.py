"""Sources for a reader that is made without an exchange."""

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import pairwise

from asgi_bridge import BodyReader
from asgi_bridge.crossing.ending import EndOfStream

NO_LOOP = 0  # no thread has this id, so every thread may read


class Arriving:
    """A source whose chunks come one `take` at a time.

    Args:
        chunks: what comes.
        ending: what `take` raises after them, ever after.

    Attributes:
        released: bytes whose room was given back.
    """

    def __init__(self, chunks: Iterable[bytes], ending: Exception | None = None) -> None:
        self.released = 0
        self._chunks = deque(chunks)
        self._ending = EndOfStream() if ending is None else ending

    def take(self) -> deque[bytes]:
        if not self._chunks:
            raise self._ending
        return deque([self._chunks.popleft()])

    def release(self, size: int) -> None:
        self.released += size


def arriving(*chunks: bytes, ending: Exception | None = None) -> BodyReader:
    """A reader of a body that comes chunk by chunk."""
    return BodyReader(Arriving(chunks, ending), NO_LOOP)


def split(body: bytes, cuts: Sequence[int]) -> list[bytes]:
    """The body in chunks, none empty, cut at these offsets."""
    bounds = sorted({0, *(cut for cut in cuts if 0 < cut < len(body)), len(body)})
    return [body[a:b] for a, b in pairwise(bounds)]
