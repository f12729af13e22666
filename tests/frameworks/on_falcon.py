"""Falcon resources that answer with the body of their request.

Falcon takes in the first message before it calls a responder; `withhold` keeps it from that, for
responders that call `open_body`.
"""

from typing import Final, cast

from falcon.asgi import App, Request, Response

from asgi_bridge import BridgeMiddleware, iterate_in_worker, open_body
from asgi_bridge.types import ASGIApp, Scope


class Opened:
    async def on_put(self, req: Request, resp: Response) -> None:
        resp.stream = iterate_in_worker(open_body(req).chunks())


class Streamed:
    """Falcon's own way."""

    async def on_put(self, req: Request, resp: Response) -> None:
        resp.stream = aiter(req.stream)  # else it is read in blocks, each of which is waited for


app: Final = App()
app.add_route("/falcon/open-body/", Opened())
app.add_route("/falcon/stream/", Streamed())


def opens_body(scope: Scope) -> bool:
    """Whether a request is for the resource that calls `open_body`."""
    return "/open-body" in scope["path"]


wrapped: Final = BridgeMiddleware(app, withhold=opens_body)

APPS: Final[dict[str, ASGIApp]] = {
    "falcon/open-body": wrapped,
    "falcon/stream": wrapped,
}

BARE: Final[dict[str, ASGIApp]] = {"falcon/stream": cast(ASGIApp, app)}
