"""Keep the members of a tar whose names match, in order, without unpacking to disk.

`etl_args` is a pattern of names: `*.jpg`.
"""

import fnmatch
import tarfile
from collections.abc import Iterator
from typing import IO, Any

from asgi_bridge.etl import ETLServer

BLOCK = 256 * 1024
END = b"\0" * 2 * tarfile.BLOCKSIZE


class TarMembers(ETLServer):
    """Holds a block of one member at a time."""

    # Nothing is shared, each archive is its own. More at once only wait for the disks.
    concurrency = 16

    def transform_stream(self, reader: IO[bytes], path: str, etl_args: str) -> Iterator[bytes]:
        """Yield a tar of the members that match."""
        with tarfile.open(fileobj=reader, mode="r|*") as archive:
            for member in archive:
                if fnmatch.fnmatch(member.name, etl_args or "*"):
                    yield member.tobuf(tarfile.PAX_FORMAT)
                    yield from blocks(archive, member)
        yield END


def blocks(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    """The content of a member as it stands in a tar: blocks, and zeros up to a full one.

    Raises:
        EOFError: the archive ends within it.
    """
    content = archive.extractfile(member) if member.isreg() else None
    if content is None:  # a directory or a link is no more than its header
        return
    left = member.size
    while left:
        block = content.read(min(left, BLOCK))
        if not block:
            raise EOFError(f"{member.name} ends {left} bytes early")
        left -= len(block)
        yield block
    yield b"\0" * (-member.size % tarfile.BLOCKSIZE)


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(name)
    return TarMembers().app
