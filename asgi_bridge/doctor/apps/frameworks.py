"""What people write with a framework, where one is installed."""

import importlib.util
from typing import Final

from ...types import ASGIApp

FRAMEWORKS: Final[dict[str, ASGIApp]] = {}

if importlib.util.find_spec("starlette") is not None:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import StreamingResponse
    from starlette.routing import Route

    async def _echo(request: Request) -> StreamingResponse:
        return StreamingResponse(request.stream())

    FRAMEWORKS["starlette_echo"] = Starlette(
        routes=[Route("/starlette_echo", _echo, methods=["PUT"])]
    )
