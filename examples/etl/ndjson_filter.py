"""Keep the lines of NDJSON whose field has a value. `etl_args` is JSON: `{"lang": "en"}`."""

import json
from collections.abc import Iterator
from typing import IO, Any

from asgi_bridge.etl import ETLServer


class BadArguments(Exception):
    """What the caller asked for is no JSON object: a 400."""

    status_code = 400


class NdjsonFilter(ETLServer):
    """The reader is iterated by line, as any file."""

    # Nothing is shared. Python runs one of them at a time, the others wait for their uploads.
    concurrency = 8

    def transform_stream(self, reader: IO[bytes], path: str, etl_args: str) -> Iterator[bytes]:
        """Yield the lines that match in all the fields given."""
        wanted = parsed(etl_args)
        for number, line in enumerate(reader, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error
            if all(row.get(field) == value for field, value in wanted.items()):
                yield line


def parsed(etl_args: str) -> dict[str, Any]:
    """The arguments as a dictionary; none is an empty one.

    Raises:
        BadArguments: they are something else.
    """
    try:
        wanted = json.loads(etl_args or "{}")
    except ValueError as error:
        raise BadArguments(f"etl_args: {error}") from error
    if not isinstance(wanted, dict):
        raise BadArguments("etl_args must be a JSON object")
    return wanted


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(name)
    return NdjsonFilter().app
