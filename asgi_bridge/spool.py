"""SpooledReader: a request body that can be read again, kept in a temporary file."""

import io
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .errors import BodyTooLarge
from .reader import BodyReader

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# Up to here a spool stays in memory; out of the air, about one photograph.
IN_MEMORY_BYTES = 1024 * 1024
_BLOCK = 64 * 1024


class Spool(io.RawIOBase):
    """The raw file below a `SpooledReader`: what has come is in a temporary file.

    Args:
        body: where the rest comes from.
        limit: most bytes that may be kept.
    """

    def __init__(self, body: BodyReader, limit: int) -> None:
        self._body = body
        self._limit = limit
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # closed by close()
        self._kept = 0  # bytes in the file
        self._failure: Exception | None = None  # why a chunk could not be kept; met ever after
        self._position = 0

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Read at the present position, waiting only if nothing has come for it yet."""
        self._body.check()
        self._fill(self._position + 1)
        with memoryview(buffer) as given, given.cast("B") as view:
            self._file.seek(self._position)
            count = self._file.readinto(view)
        self._position += count
        return count

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move, waiting for the whole body if it is relative to the end."""
        self._body.check()
        match whence:
            case io.SEEK_SET:
                position = offset
            case io.SEEK_CUR:
                position = self._position + offset
            case io.SEEK_END:
                self._fill(None)
                position = self._kept + offset
            case _:
                raise ValueError(f"whence must be 0, 1 or 2, not {whence}")
        if position < 0:
            raise ValueError(f"cannot seek to {position}")
        self._position = position
        return position

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def close(self) -> None:
        """Drop the temporary file, and what is unread."""
        self._file.close()
        self._body.close()
        super().close()

    def _fill(self, size: int | None) -> None:
        """Take in the body until `size` bytes are kept, or all of it for None."""
        while size is None or self._kept < size:
            if self._failure is not None:
                raise self._failure
            chunk = self._body.read1(_BLOCK)
            if not chunk:
                return
            try:
                self._keep(chunk)
            except Exception as error:  # the chunk is lost: nothing may be read past it
                self._failure = error
                raise

    def _keep(self, chunk: bytes) -> None:
        if self._kept + len(chunk) > self._limit:
            raise BodyTooLarge(self._limit)
        self._file.seek(self._kept)
        self._file.write(chunk)
        self._kept += len(chunk)


class SpooledReader(io.BufferedReader):
    """A `BodyReader` that can seek; what has come is kept, on disk where it is large.

    Reading and seeking forward wait for the body as far as they need it; seeking from the end
    waits for all of it.

    Raises:
        BodyTooLarge: more than `Limits.spool_max_bytes` would have to be kept.
        OSError: the temporary file cannot be written, because the disk is full for example.
        Exception: whatever a `BodyReader` raises.

    Threads: any worker thread, one at a time.
    """

    def __init__(self, body: BodyReader, limit: int) -> None:
        super().__init__(Spool(body, limit), _BLOCK)

    def chunks(self) -> Iterator[bytes]:
        """Iterate over the rest of the body, in pieces of up to 64 KiB."""
        while chunk := self.read1(_BLOCK):
            yield chunk


BodyReader.register(SpooledReader)
