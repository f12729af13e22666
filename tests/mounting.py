"""One application that has others below it, by the first part of the path."""

from collections.abc import Mapping

from asgi_bridge.types import ASGIApp, Receive, Scope, Send


def mounted(apps: Mapping[str, ASGIApp]) -> ASGIApp:
    """An application that calls the one that the path names, mounted there.

    It has a lifespan of its own, and theirs is not run.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        name = scope["path"].split("/")[1]
        await apps[name]({**scope, "root_path": f"/{name}"}, receive, send)

    return app
