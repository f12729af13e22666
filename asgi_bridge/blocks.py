# How a body's chunks become blocks.
#
# Rule 1: the present block is an io.BytesIO, so that slicing, line search and iteration run in C,
#         and its own position is the reader's: every method sees the same bytes next,
#         however calls are mixed. A block that is read whole comes back without a copy, and what
#         lies in two blocks or more is copied once, from where it lies to where it is wanted.
# Rule 2: no block is made of a chunk that is wanted as a whole.
"""Blocks: the server's chunks, one of them at a time as a file in memory."""

import io
from collections import deque
from typing import Final

from .crossing.ending import EndOfStream
from .crossing.inlet import Source

# The block before the first one. It is only ever read from, so one serves all readers.
_NOTHING: Final = io.BytesIO()


class Blocks(io.BufferedIOBase):
    """What comes from a source.

    Args:
        source: where more comes from, None where nothing will.
        chunks: what has come already.

    Threads: any, one at a time.
    """

    def __init__(self, source: Source | None, chunks: deque[bytes] | None) -> None:
        self._source = source
        self._chunk = b""  # what the block was made of
        self._block = _NOTHING
        self._base = 0  # the body's offset of the block's first byte
        # taken from the source, not yet a block
        self._waiting: deque[bytes] = deque() if chunks is None else chunks

    def _next_block(self) -> bool:
        """Make the next of the server's chunks the present block; False at the end.

        The present block must have been read to its end.
        """
        chunk = self._take_chunk()
        self._start_block(chunk)
        return bool(chunk)

    def _start_block(self, chunk: bytes) -> None:
        self._base += len(self._chunk)
        # some servers give a bytearray, which `peek` must not hand out
        self._chunk = chunk = chunk if type(chunk) is bytes else bytes(chunk)
        self._block = io.BytesIO(chunk)

    def _take_chunk(self) -> bytes:
        """The next of the server's chunks, `b""` at the end of the body."""
        source = self._source
        if not self._waiting:
            if source is None:
                return b""
            try:
                self._waiting = source.take()
            except EndOfStream:
                return b""
        chunk = self._waiting.popleft()
        if source is not None:
            source.release(len(chunk))
        return chunk

    def _rest(self) -> bytes | memoryview:
        """Take what the present block has left, not copied."""
        position = self._block.tell()
        self._block.seek(len(self._chunk))
        return memoryview(self._chunk)[position:] if position else self._chunk

    def _gather(self, rest: bytes | memoryview, size: int) -> bytes:
        """Read `size` bytes, of which the present block had no more than `rest`."""
        parts = [rest] if rest else []
        missing = size - len(rest)
        while missing and (chunk := self._take_chunk()):
            if len(chunk) > missing:
                self._start_block(chunk)
                if not parts:
                    return self._block.read(missing)
                parts.append(memoryview(chunk)[: self._block.seek(missing)])
                break
            parts.append(chunk)  # all of it is wanted: no block needs to be made of it
            self._base += len(chunk)
            missing -= len(chunk)
        if len(parts) == 1 and type(parts[0]) is bytes:
            return parts[0]  # a chunk that fits is not copied
        return b"".join(parts)

    def _drop(self) -> None:
        """Let go what is here."""
        self._block.seek(0, io.SEEK_END)  # an iteration over it comes to its end
        self._chunk, self._block = b"", _NOTHING
        self._waiting.clear()
