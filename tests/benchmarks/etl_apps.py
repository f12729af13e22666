"""ETL servers under test, ours and AIStore's, around the same transforms: upper case, a digest."""

import hashlib
import os
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final

from asgi_bridge.types import ASGIApp

BLOCK_BYTES: Final = 64 * 1024  # what AIStore's documentation reads at a time
# Nothing listens there: no row has an object fetched. A target's host may be told the secret, so
# deliveries on loopback are allowed.
TARGET_URL: Final = "http://127.0.0.1:9/v1/etl/_object/bench/secret"


def _base(kind: str) -> Any:
    os.environ["AIS_TARGET_URL"] = TARGET_URL
    if kind == "ours":
        from asgi_bridge.etl import ETLServer

        return ETLServer
    from aistore.sdk.etl.webserver.fastapi_server import FastAPIServer

    return FastAPIServer


def buffered(
    kind: str, transformed: Callable[[bytes], bytes] = bytes.upper
) -> Callable[[], ASGIApp]:
    """A factory of a buffered server, "ours" or "aistore"."""

    def make() -> ASGIApp:
        class Buffered(_base(kind)):  # type: ignore[misc]  # which class it is, is known when it runs
            def transform(self, data: bytes, path: str, etl_args: str) -> bytes:
                return transformed(data)

        app: ASGIApp = Buffered().app
        return app

    return make


def digest_of(data: bytes) -> bytes:
    """A transform whose output is small."""
    return hashlib.sha256(data).digest()


def streaming(kind: str) -> Callable[[], ASGIApp]:
    """A factory of a streaming server, "ours" or "aistore"."""

    def make() -> ASGIApp:
        class Upper(_base(kind)):  # type: ignore[misc]  # as above
            def transform_stream(
                self, reader: BinaryIO, path: str, etl_args: str
            ) -> Iterator[bytes]:
                while block := reader.read(BLOCK_BYTES):
                    yield block.upper()

        app: ASGIApp = Upper().app
        return app

    return make
