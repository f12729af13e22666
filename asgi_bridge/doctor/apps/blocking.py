"""Blocking functions, which only the bridge can run."""

import time
from collections.abc import Iterator

from ...errors import HTTPError
from ...handler import handler
from ...request import Request
from ...writer import Response


@handler
def echo(request: Request, response: Response) -> Iterator[bytes]:
    """Send each chunk back as soon as it is here."""
    yield from request.body.chunks()


@handler
def refuse_late(request: Request, response: Response) -> None:
    request.body.read(1)
    time.sleep(0.2)
    raise HTTPError(413)


@handler
def breaking(request: Request, response: Response) -> Iterator[bytes]:
    yield b"first"
    request.body.read()
    response.flush()
    raise RuntimeError("failed on purpose, after a chunk")
