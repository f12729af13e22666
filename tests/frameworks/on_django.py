"""Django views that answer with the body of their request.

Django's handler takes in the whole request before it calls a view; `withhold` keeps the body from
it, for views that call `open_body`.
"""

from collections.abc import AsyncIterator
from typing import Final

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.http import StreamingHttpResponse
from django.urls import path
from starlette.applications import Starlette
from starlette.routing import Mount

from asgi_bridge import BridgeMiddleware, iterate_in_worker, open_body
from asgi_bridge.types import ASGIApp, Scope

BLOCK: Final = 64 * 1024


async def opened(request: ASGIRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(iterate_in_worker(open_body(request).chunks()))


def opened_in_thread(request: ASGIRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(iterate_in_worker(open_body(request).chunks()))


async def iterated(request: ASGIRequest) -> StreamingHttpResponse:
    """Django's own way: the request is a file, with all of the body in it."""

    async def blocks() -> AsyncIterator[bytes]:
        while block := request.read(BLOCK):
            yield block

    return StreamingHttpResponse(blocks())


urlpatterns = [
    path("open-body/", opened),
    path("open-body-sync/", opened_in_thread),
    path("request/", iterated),
]

settings.configure(
    ALLOWED_HOSTS=["*"],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    ROOT_URLCONF=__name__,
)
django.setup()


def opens_body(scope: Scope) -> bool:
    """Whether a request is for one of the views that call `open_body`."""
    return "/open-body" in scope["path"]


app: Final[ASGIApp] = ASGIHandler()
wrapped: Final = BridgeMiddleware(app, withhold=opens_body)
mounted: Final = BridgeMiddleware(Starlette(routes=[Mount("/below", app=app)]), withhold=opens_body)

APPS: Final[dict[str, ASGIApp]] = {
    "django/open-body": wrapped,
    "django/open-body-sync": wrapped,
    "django-mounted/below/open-body": mounted,
    "django/request": wrapped,
}

BARE: Final[dict[str, ASGIApp]] = {"django/request": app}
