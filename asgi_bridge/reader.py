# How the reader is made.
#
# Rule 1: what can be read out of the present block is (blocks.py); the rest is gathered.
# Rule 2: the end is sticky and a disconnect is not an end: it raises, then and ever after.
# Rule 3: a read that a failure leaves short raises. Fewer bytes than asked for mean the end.
"""BodyReader: a request body as a blocking binary file."""

import io
import sys
from collections import deque
from collections.abc import Iterator
from operator import index
from threading import get_ident
from typing import TYPE_CHECKING, Any

from .blocks import Blocks
from .crossing.inlet import Source
from .errors import WrongThread

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_NEWLINE = 10
# Bytes. A view costs as much as a copy of some 8 KiB (measured: 0.3 us for its making and seeking),
# so what is no more than this is copied first, and asked afterwards whether it was enough.
_CHEAP = 8 * 1024


class BodyReader(Blocks):
    """A binary file object over one request body, read as it arrives.

    It answers every call as an `io.BufferedReader` over the same bytes would, on any chunking.

    Every method that reads may raise, beside what is said there:

    Raises:
        ClientDisconnected: the client left before the body ended.
        BodyIncomplete: the body was shorter than its Content-Length.
        BodyTooLarge: the body passed `Limits.max_body_bytes`.
        ReadTimeout: nothing came for `Limits.read_timeout` seconds.
        ExchangeOver: the exchange was cancelled, or is over.
        WrongThread: called on the event loop's own thread, which it would block for ever.
        ValueError: the reader is closed.
        Exception: what the server's `receive()` itself raised.

    Threads: any worker thread, one at a time.
    """

    if TYPE_CHECKING:
        name: Any  # io.TextIOWrapper's stub asks for it; as with io.BytesIO, there is none

    def __init__(
        self, source: Source | None, loop_thread_id: int, chunks: deque[bytes] | None = None
    ) -> None:
        super().__init__(source, chunks)
        self._loop_thread_id = loop_thread_id
        self._closed = False  # IOBase's own takes longer to ask

    # Reading.

    def read(self, size: int | None = -1, /) -> bytes:
        """Read `size` bytes, waiting for all of them; fewer only at the end of the body.

        Args:
            size: how many bytes; None or negative for the rest of the body.
        """
        self.check()
        if size is None or size < 0:
            size = sys.maxsize
        if size > _CHEAP and (left := len(self._chunk) - self._block.tell()) < size:
            size = index(size)  # or a TypeError, before anything is taken
            if size > sys.maxsize:
                raise OverflowError("no bytes object has so many bytes")
            return self._gather(self._rest() if left else b"", size)
        data = self._block.read(size)
        return data if len(data) == size else self._gather(data, size)

    def read1(self, size: int = -1, /) -> bytes:
        """Read up to `size` bytes, waiting only if there are none.

        Args:
            size: most bytes wanted; negative for as many as one chunk brings.
        """
        self.check()
        if size == 0:
            return b""
        data = self._block.read(size)
        while not data and self._next_block():
            data = self._block.read(size)
        return data

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fill `buffer`, waiting until it is full or the body ends; return the bytes read."""
        return self._into(buffer, at_once=False)

    def readinto1(self, buffer: "WriteableBuffer", /) -> int:
        """Read into `buffer`, waiting only if there is nothing; return the bytes read."""
        return self._into(buffer, at_once=True)

    def readline(self, size: int | None = -1, /) -> bytes:
        """Read one line with its newline, or at most `size` bytes of it.

        Args:
            size: most bytes wanted; None or negative for no bound.
        """
        self.check()
        bound = -1 if size is None else size
        line = self._block.readline(bound)
        if (line and line[-1] == _NEWLINE) or len(line) == bound:
            return line
        parts = [line]
        while self._next_block():
            if bound >= 0:
                bound -= len(parts[-1])
            parts.append(self._block.readline(bound))
            if parts[-1][-1:] == b"\n" or len(parts[-1]) == bound:
                break
        return b"".join(parts)

    def __iter__(self) -> Iterator[bytes]:
        """Iterate over the rest of the body, line by line. Other reads may come in between."""
        while True:
            self.check()
            block = self._block
            for line in block:
                if line[-1] == _NEWLINE:
                    yield line
                else:  # the line goes on in the next block
                    yield line + self.readline()
            # an other call may have moved on to a new block while we were suspended
            if block is self._block and not self._next_block():
                return

    def peek(self, size: int = 0, /) -> bytes:
        """The bytes that come next, without taking them; `b""` only at the end of the body.

        Args:
            size: a wish, as with `io.BufferedReader`: there may be more bytes or fewer.
        """
        self.check()
        while (position := self._block.tell()) == len(self._chunk):
            if not self._next_block():
                return b""
        return self._chunk[position : position + max(size, io.DEFAULT_BUFFER_SIZE)]

    def chunks(self) -> Iterator[bytes]:
        """Iterate over the rest of the body in the server's own chunks, not copied.

        The sizes are the server's business: 2 bytes to 20 MB have been seen. None is empty.
        """
        while True:
            self.check()
            if rest := self._block.read():  # what other calls have left of their block
                yield rest
            elif chunk := self._take_chunk():
                self._base += len(chunk)  # it goes out whole: no block needs to be made of it
                yield chunk
            else:
                return

    # What else a file can say.

    def tell(self) -> int:
        """How many bytes of the body have been read."""
        self._check_open()
        return self._base + self._block.tell()

    def readable(self) -> bool:
        """True, for as long as the reader is open."""
        self._check_open()
        return True

    def close(self) -> None:
        """Drop what is unread here. The rest is dealt with at the end of the exchange."""
        if not self._closed:
            self._closed = True
            self._drop()  # an iteration comes to the block's end, and to `check`
        super().close()

    def __del__(self) -> None:
        """Nothing to release. IOBase's own would call `close`, for a microsecond a request."""

    def __repr__(self) -> str:
        if self._closed:
            return "<BodyReader closed>"
        return f"<BodyReader at byte {self.tell()}>"

    # How the bytes come.

    def check(self) -> None:
        """Raise WrongThread on the loop's thread, and ValueError once the reader is closed."""
        if get_ident() == self._loop_thread_id:
            raise WrongThread(
                "reading the body blocks; call it from a worker thread, not on the event loop"
            )
        if self._closed:
            raise ValueError("I/O operation on closed file.")

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("I/O operation on closed file.")

    def _into(self, buffer: "WriteableBuffer", *, at_once: bool) -> int:
        self.check()
        with memoryview(buffer) as given, given.cast("B") as view:
            count = self._block.readinto(view)
            while count < len(view) and not (at_once and count):
                if not self._next_block():
                    break
                count += self._block.readinto(view[count:])
            return count
