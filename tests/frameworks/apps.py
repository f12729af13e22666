"""The table: every application that streams its request's body into its response."""

from collections.abc import Mapping
from typing import Final

from asgi_bridge.doctor.apps.sending import hello
from asgi_bridge.types import ASGIApp

from ..mounting import mounted
from . import (
    bare,
    on_blacksheep,
    on_django,
    on_falcon,
    on_fastapi,
    on_litestar,
    on_quart,
    on_starlette,
)

# By path; what has the same first segment is the same application.
APPS: Final[Mapping[str, ASGIApp]] = {
    **on_starlette.APPS,
    **on_fastapi.APPS,
    **on_litestar.APPS,
    **on_django.APPS,
    **on_quart.APPS,
    **on_blacksheep.APPS,
    **on_falcon.APPS,
    **bare.APPS,
}

# Those that need no bridge to run, without it.
BARE: Final[Mapping[str, ASGIApp]] = {
    **on_starlette.BARE,
    **on_fastapi.BARE,
    **on_litestar.BARE,
    **on_django.BARE,
    **on_quart.BARE,
    **on_blacksheep.BARE,
    **on_falcon.BARE,
    **bare.BARE,
}

# What takes in the whole request before it calls anyone, so that a client in lock-step would wait.
WHOLE: Final = frozenset(("django/request",))

# Frameworks that need asyncio.
ON_ASYNCIO: Final = ("django", "quart", "blacksheep", "falcon")


def below(apps: Mapping[str, ASGIApp]) -> ASGIApp:
    """All of them in one, and one that says hello."""
    return mounted({**{name.split("/")[0]: app for name, app in apps.items()}, "hello": hello})


app: Final = below(APPS)
without: Final = below(BARE)
