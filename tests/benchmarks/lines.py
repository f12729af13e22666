"""The row of line iteration: a `BodyReader` beside the reader of the standard library, in C."""

import functools
import gc
import io
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from asgi_bridge import BodyReader

from .paired import Failed, alternate, progress
from .report import Row, Target
from .settings import Settings

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

CHUNK_BYTES: Final = 64 * 1024
LINE: Final = b"x" * 79 + b"\n"
BODY_BYTES: Final = 64 * 1024 * 1024
NO_LOOP: Final = 0  # no thread has this id, so the reader works in ours


class RawChunks(io.RawIOBase):
    """The least that `io.BufferedReader` needs over chunks that are there already."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        rest = self._rest or next(self._chunks, b"")
        with memoryview(buffer) as view:
            count = min(len(rest), len(view))
            view[:count] = rest[:count]
        self._rest = rest[count:]
        return count


def chunks_of_lines(body_bytes: int) -> list[bytes]:
    """A body of lines, in chunks that do not end where lines do."""
    body = LINE * (body_bytes // len(LINE))
    return [body[at : at + CHUNK_BYTES] for at in range(0, len(body), CHUNK_BYTES)]


def our_file(chunks: list[bytes]) -> BodyReader:
    return BodyReader(None, NO_LOOP, deque(chunks))


def their_file(chunks: list[bytes]) -> io.BufferedReader:
    # its buffer has room for a whole chunk: with its default of 8 KiB it is slower
    return io.BufferedReader(RawChunks(chunks), CHUNK_BYTES)


def lines_rows(settings: Settings) -> list[Row]:
    """`for line in reader`, per line of 80 bytes in chunks of 64 KiB."""
    progress("lines")
    chunks = chunks_of_lines(settings.scaled(BODY_BYTES))
    expected = sum(map(len, chunks)) // len(LINE)

    def nanoseconds(make: Callable[[], Iterable[bytes]]) -> float:
        file = make()
        gc.collect()
        started = time.perf_counter()
        count = 0
        for _ in file:
            count += 1
        seconds = time.perf_counter() - started
        if count != expected:
            raise Failed(f"{count} of {expected} lines")
        return seconds * 1e9 / count

    files = {"ours": our_file, "theirs": their_file}
    outcomes = alternate(
        {
            name: functools.partial(nanoseconds, functools.partial(make, chunks))
            for name, make in files.items()
        },
        runs=settings.runs,
    )
    return [
        Row(
            name="in memory, lines of 80 bytes in chunks of 64 KiB, per line",
            unit="ns",
            ours=outcomes["ours"],
            peer_name="io.BufferedReader",
            peer=outcomes["theirs"],
            target=Target(1 / 3),  # within a factor of 3
            less_is_better=True,
        )
    ]
