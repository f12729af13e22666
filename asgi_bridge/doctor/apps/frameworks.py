"""What people write with a framework, where one is installed."""

import importlib.util

from ...types import ASGIApp


def of_frameworks() -> dict[str, ASGIApp]:
    """The applications of the frameworks that are installed, by path."""
    return starlette() if importlib.util.find_spec("starlette") is not None else {}


def starlette() -> dict[str, ASGIApp]:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import StreamingResponse
    from starlette.routing import Route

    async def echo(request: Request) -> StreamingResponse:
        return StreamingResponse(request.stream())

    name = "starlette_echo"
    return {name: Starlette(routes=[Route(f"/{name}", echo, methods=["PUT"])])}
