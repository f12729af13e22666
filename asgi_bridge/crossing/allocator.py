# Why a block is allocated and freed.
#
# glibc gives a block of 128 KiB or more a mapping of its own, and unmaps it when it is freed. A
# stream's chunks are that large on some servers, and new ones all the time, so each of their pages
# is faulted in and cleared again: 420 faults a MiB, measured on uvicorn, where one connection's
# upload then ran at 363 MB/s, and at 608 MB/s without them. But glibc learns: freeing a block that
# was mapped raises the threshold to its size, and what is kept at the top of a heap to twice that
# (mallopt(3), M_MMAP_THRESHOLD). So it is taught once, by a block that is never touched.
"""keep_freed_memory: have the C library keep a stream's memory for its next chunks."""

from typing import Final

# Bytes. Half of it left 174 faults a MiB, twice as much gained nothing. Each of glibc's arenas, of
# which there are at most eight for a core, may keep twice this when it has nothing to do.
LESSON: Final = 1024 * 1024


def keep_freed_memory() -> None:
    """Teach glibc to keep what is freed, up to `LESSON`; elsewhere, do nothing that matters.

    It holds for the process, costs some 10 us, and no memory. A threshold that someone has set
    stays as it is, by MALLOC_MMAP_THRESHOLD_ in the environment or otherwise.

    Threads: any.
    """
    bytes(LESSON)
