"""Quart views that answer with the body of their request.

Quart takes the body in beside the view, in memory; `withhold` keeps it from that, for views that
call `open_body`.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, cast

from quart import Quart, request

from asgi_bridge import BridgeMiddleware, iterate_in_worker, open_body
from asgi_bridge.types import ASGIApp, Scope

app: Final = Quart(__name__)


@app.put("/open-body/")
async def opened() -> AsyncIterator[bytes]:
    return iterate_in_worker(open_body(request).chunks())


@app.put("/open-body-sync/")
def opened_in_thread() -> Iterator[bytes]:
    return open_body(request).chunks()


@app.put("/body/")
async def body() -> AsyncIterator[bytes]:
    """Quart's own way."""
    chunks = request.body

    async def generate() -> AsyncIterator[bytes]:
        async for chunk in chunks:
            yield chunk

    return generate()


def opens_body(scope: Scope) -> bool:
    """Whether a request is for one of the views that call `open_body`."""
    return "/open-body" in scope["path"]


# Quart writes its messages as typed dictionaries, so its own types and ours differ in name.
plain: Final = cast(ASGIApp, app.asgi_app)
app.asgi_app = cast(Any, BridgeMiddleware(app.asgi_app, withhold=opens_body))  # type: ignore[method-assign]
whole: Final = cast(ASGIApp, app)

APPS: Final[dict[str, ASGIApp]] = {
    "quart/open-body": whole,
    "quart/open-body-sync": whole,
    "quart/body": whole,
}

BARE: Final[dict[str, ASGIApp]] = {"quart/body": plain}
