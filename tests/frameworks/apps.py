"""The table: every application that streams its request's body into its response."""

from collections.abc import Mapping
from typing import Final

from asgi_bridge.types import ASGIApp, Receive, Scope, Send

from . import bare, on_fastapi, on_starlette

APPS: Final[Mapping[str, ASGIApp]] = {**on_starlette.APPS, **on_fastapi.APPS, **bare.APPS}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Call the application that the path names, mounted there."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    name = scope["path"].split("/")[1]
    await APPS[name]({**scope, "root_path": f"/{name}"}, receive, send)
