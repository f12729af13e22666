"""Event streams by sse-starlette, in a process of their own that is told to end."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from .forms import Form, worn


async def events() -> AsyncIterator[str]:
    yield "hello"
    await asyncio.sleep(600)


async def stream(request: Request) -> EventSourceResponse:
    return EventSourceResponse(events())


def made(form: Form) -> object:
    return worn(Starlette(routes=[Route("/{rest:path}", stream)]), form)


without: Final = made(Form.WITHOUT)
inside: Final = made(Form.INSIDE)
around: Final = made(Form.AROUND)
