"""Decompress gzip objects, of any size in constant memory."""

import gzip
from collections.abc import Iterator
from typing import IO, Any

from asgi_bridge.etl import ETLServer

BLOCK = 256 * 1024


class Gunzip(ETLServer):
    """A cut or damaged object raises, so nothing of it is stored."""

    # Nothing is shared, and zlib lets other threads run. More at once only wait for the disks.
    concurrency = 16

    def transform_stream(self, reader: IO[bytes], path: str, etl_args: str) -> Iterator[bytes]:
        """Yield what is inside."""
        with gzip.GzipFile(fileobj=reader) as plain:
            while block := plain.read(BLOCK):
                yield block


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(name)
    return Gunzip().app
