# How the reader is made.
#
# Rule 1: the present block is an io.BytesIO, so that slicing, line search and iteration run in C,
#         and its own position is the reader's: every method sees the same bytes next,
#         however calls are mixed. A block that is read whole comes back without a copy, and what
#         lies in two blocks or more is copied once, from where it lies to where it is wanted.
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

from .crossing.channel import EndOfStream
from .crossing.inlet import Source
from .errors import WrongThread

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_NEWLINE = 10
# Bytes. A view costs as much as a copy of some 8 KiB (measured: 0.3 us for its making and seeking),
# so what is no more than this is copied first, and asked afterwards whether it was enough.
_CHEAP = 8 * 1024
# The block before the first one. It is only ever read from, so one serves all readers.
_NOTHING = io.BytesIO()


class BodyReader(io.BufferedIOBase):
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
        self._source = source  # None where nothing more will come
        self._loop_thread_id = loop_thread_id
        self._chunk = b""  # what the block was made of
        self._block = _NOTHING
        self._base = 0  # the body's offset of the block's first byte
        # taken from the source, not yet a block
        self._waiting: deque[bytes] = deque() if chunks is None else chunks
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
            self._block.seek(0, io.SEEK_END)  # an iteration comes to its end, and to `check`
            self._chunk, self._block = b"", _NOTHING
            self._waiting.clear()
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

    def _into(self, buffer: "WriteableBuffer", *, at_once: bool) -> int:
        self.check()
        with memoryview(buffer) as given, given.cast("B") as view:
            count = self._block.readinto(view)
            while count < len(view) and not (at_once and count):
                if not self._next_block():
                    break
                count += self._block.readinto(view[count:])
            return count
