# Bytes that wait on a disk.
#
# Rule 1: the file has no name, so that it is gone with its last descriptor however the process
#         ends, and nobody else can open it; its mode is 0600 all the same.
# Rule 2: it is written and read on threads, never on a loop's. One thread may append while another
#         takes; the lock is held for the book-keeping, not for the disk.
# Rule 3: the bound holds for the file, too: it is a ring of so many bytes. It begins anew
#         whenever it is empty, so that few bytes at a time stay at the beginning of it.
# Rule 4: a thread may still be at the disk when the queue is closed. The descriptor is closed by
#         whoever is the last to use it, or the thread might write into somebody else's file.
"""DiskQueue: a first-in, first-out queue of bytes in a private temporary file."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from ..errors import ExchangeOver, SpoolFull


class DiskQueue:
    """Bytes on disk, in order.

    Args:
        limit: most bytes held, at least 1.
        directory: where the file is, None for the system's place for temporary files.

    Attributes:
        held: bytes that can be taken; to be read only.

    Threads: `append` on one thread at a time, `take` on one, which may be another; `close` on any.
    """

    def __init__(self, limit: int, directory: str | None = None) -> None:
        self._limit = limit
        self._directory = directory
        self._lock = Lock()
        self._descriptor: int | None = None  # guarded by _lock; made by the first append
        self._users = 0  # guarded by _lock; threads that are at the disk
        self._appending = False  # guarded by _lock
        self._closed = False  # guarded by _lock
        self._begin = 0  # guarded by _lock; the first byte's place in the ring
        self.held = 0  # guarded by _lock

    def append(self, chunks: list[bytes]) -> None:
        """Add the bytes of all chunks.

        Raises:
            SpoolFull: they do not fit, or the disk does not take them.
            ExchangeOver: the queue is closed.
        """
        data = memoryview(b"".join(chunks))
        with self._in_use() as descriptor:
            with self._lock:
                if self.held + len(data) > self._limit:
                    raise SpoolFull(f"the request's spool holds {self._limit} bytes at most")
                place = self._begin + self.held
                self._appending = True
            try:
                for start, size in self._stretches(place, len(data)):
                    _write(descriptor, data[:size], start)
                    data = data[size:]
                    with self._lock:
                        self.held += size
            except OSError as error:
                raise SpoolFull(f"the request's spool cannot be written: {error}") from error
            finally:
                with self._lock:
                    self._appending = False

    def take(self, most: int) -> bytes:
        """Take the oldest bytes, up to `most` of them.

        Raises:
            ExchangeOver: the queue is closed.
            OSError: the disk does not give them back.
        """
        with self._in_use() as descriptor:
            start, size = next(self._stretches(self._begin, min(most, self.held)), (0, 0))
            data = os.pread(descriptor, size, start)
            with self._lock:
                self.held -= len(data)
                self._begin = (self._begin + len(data)) % self._limit
                if not self.held and not self._appending:
                    self._begin = 0
        return data

    def close(self) -> None:
        """Drop what is held, and let the disk have its room back; never waits."""
        with self._lock:
            self._closed = True
            self._close_unused()

    @contextmanager
    def _in_use(self) -> Iterator[int]:
        with self._lock:
            if self._closed:
                raise ExchangeOver("the exchange is over")
            self._users += 1
        try:
            if self._descriptor is None:
                self._descriptor = _nameless(self._directory)
            yield self._descriptor
        finally:
            with self._lock:
                self._users -= 1
                self._close_unused()

    def _close_unused(self) -> None:
        if self._closed and not self._users and self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _stretches(self, place: int, size: int) -> Iterator[tuple[int, int]]:
        """Where `size` bytes from `place` on are: one stretch of the ring, or two."""
        place %= self._limit
        while size:
            part = min(size, self._limit - place)
            yield place, part
            place, size = 0, size - part


def _nameless(directory: str | None) -> int:
    try:
        with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
            return os.dup(file.fileno())
    except OSError as error:
        raise SpoolFull(f"the request's spool cannot be made: {error}") from error


def _write(descriptor: int, data: memoryview, place: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, place)
        data, place = data[written:], place + written
