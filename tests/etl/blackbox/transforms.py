"""What the pods of these tests serve: one class buffered, one streaming.

ETL_BASE names another server class to put below them, to hold these tests against it:
`aistore.sdk.etl.webserver.fastapi_server:FastAPIServer`.
"""

import importlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from .actions import ACTIONS, parsed, report, wrap

DEFAULT_BASE: Final = "asgi_bridge.etl:ETLServer"


def _base() -> Any:
    module, _, name = os.environ.get("ETL_BASE", DEFAULT_BASE).partition(":")
    return getattr(importlib.import_module(module), name)


Base: Any = _base()


class Buffered(Base):  # type: ignore[misc] # which class it is, is for the environment to say
    """The object as a whole, or its file's name."""

    def transform(self, data: Any, path: str, etl_args: str) -> Any:
        action, argument = parsed(etl_args)
        if action == "report":
            return report(path, etl_args, data)
        content = Path(data).read_bytes() if isinstance(data, str) else data
        if action in ("bytearray", "memoryview"):
            return wrap(action)(content.upper())
        return b"".join(ACTIONS[action](io.BytesIO(content), argument))

    def get_mime_type(self) -> str:
        return os.environ.get("ETL_MIME") or str(super().get_mime_type())


class Streaming(Base):  # type: ignore[misc] # as above
    """The object as a file, and the answer in chunks."""

    def transform_stream(self, reader: Any, path: str, etl_args: str) -> Iterator[Any]:
        action, argument = parsed(etl_args)
        if action == "report":
            yield report(path, etl_args, reader.read())
        elif action in ("bytearray", "memoryview"):
            yield wrap(action)(reader.read().upper())
        else:
            yield from ACTIONS[action](reader, argument)

    def get_mime_type(self) -> str:
        return os.environ.get("ETL_MIME") or str(super().get_mime_type())
