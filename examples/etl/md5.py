"""The MD5 of an object, in hexadecimal: much in, little out."""

import hashlib
from collections.abc import Iterator
from typing import IO, Any

from asgi_bridge.etl import ETLServer


class Md5(ETLServer):
    """A checksum against damage, not against anyone."""

    # Nothing is shared, and hashlib lets other threads run. More at once only wait for the disks.
    concurrency = 16

    def transform_stream(self, reader: IO[bytes], path: str, etl_args: str) -> Iterator[bytes]:
        """Yield the digest once all has been read."""
        digest = hashlib.md5(usedforsecurity=False)
        while block := reader.read(256 * 1024):
            digest.update(block)
        yield digest.hexdigest().encode()

    def get_mime_type(self) -> str:
        """What hpull's users are told."""
        return "text/plain"


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(name)
    return Md5().app
