"""Litestar routes that answer with the body of their request.

`Stream` listens for the disconnect with the `receive` of the route, whatever version of ASGI it is
told of. So it must be given a body that was claimed: `Stream(request.stream())` loses chunks.
"""

from typing import Any, Final, cast

from litestar import Litestar, Request, put
from litestar.middleware import DefineMiddleware
from litestar.response import Stream

from asgi_bridge import BridgeMiddleware, iterate_in_worker, open_body
from asgi_bridge.types import ASGIApp


@put("/open-body", sync_to_thread=True)
def opened_in_thread(request: Request[Any, Any, Any]) -> Stream:
    return Stream(open_body(request).chunks())


@put("/open-body-async")
async def opened(request: Request[Any, Any, Any]) -> Stream:
    return Stream(iterate_in_worker(open_body(request).chunks()))


@put("/stream")
async def stream(request: Request[Any, Any, Any]) -> Stream:
    return Stream(request.stream())


ROUTES: Final = [opened, opened_in_thread, stream]

plain: Final = cast(ASGIApp, Litestar(ROUTES))
wrapped: Final = BridgeMiddleware(Litestar(ROUTES))
# Litestar writes its messages as typed dictionaries, so its own types and ours differ in name.
added: Final = DefineMiddleware(cast(Any, BridgeMiddleware))
inside: Final = cast(ASGIApp, Litestar(ROUTES, middleware=[added]))

APPS: Final[dict[str, ASGIApp]] = {
    "litestar/open-body": wrapped,
    "litestar/open-body-async": wrapped,
    "litestar-inside/open-body": inside,
}

BARE: Final[dict[str, ASGIApp]] = {"litestar/stream": plain}
