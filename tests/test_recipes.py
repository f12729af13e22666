"""The recipes' code runs, and gives back each chunk before the next one comes."""

import io
import json
import types
import zipfile
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

import pytest
from django.test import override_settings
from django.urls import set_urlconf

from asgi_bridge.testing import Exchange, request
from asgi_bridge.types import ASGIApp

# Configures Django, which takes one configuration for each process.
from .frameworks import on_django as on_django
from .prose import RECIPES, names_by_heading

# Pages of frameworks that need asyncio.
ON_ASYNCIO: Final = ("quart", "django", "blacksheep", "falcon")

# By page and heading: the paths that answer in upper case, and those that answer with what came.
UPPER: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("bare-asgi", "Bare ASGI"): ("/",),
    ("bare-asgi", "ASGI 2"): ("/",),
    ("bare-asgi", "A handler"): ("/",),
    ("fastapi", "FastAPI"): ("/upper", "/fast"),
    ("fastapi", "The reader as a dependency"): ("/upper",),
    ("fastapi", "A handler beside the routes"): ("/upper/",),
    ("starlette", "Starlette"): ("/upper", "/fast"),
    ("starlette", "Route and Mount of a handler"): ("/mounted/", "/routed"),
    ("litestar", "Litestar"): ("/upper", "/fast"),
    ("litestar", "Among its own middleware"): ("/upper",),
    ("quart", "Quart"): ("/blocking/upper", "/blocking/plain"),
    ("django", "Django"): ("/stream/upper/",),
    ("blacksheep", "BlackSheep"): ("/upper",),
    ("falcon", "Falcon"): ("/blocking/upper",),
}
ECHO: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("fastapi", "FastAPI"): ("/echo",),
    ("starlette", "Starlette"): ("/echo",),
    ("quart", "Quart"): ("/echo",),
    ("blacksheep", "BlackSheep"): ("/echo",),
    ("falcon", "Falcon"): ("/echo",),
}

CHUNKS: Final = (b"aa", b"bb", b"cc")


@cache
def names_of(page: str) -> Mapping[str, Mapping[str, Any]]:
    return names_by_heading(RECIPES / f"{page}.md")


def app_of(page: str, heading: str = "") -> ASGIApp:
    app: ASGIApp = names_of(page)[heading or next(iter(names_of(page)))]["app"]
    return app


@pytest.fixture(autouse=True, scope="module")
def _views_of_the_django_page() -> Iterator[None]:
    urls = types.ModuleType("urls")
    urls.__dict__.update(names_of("django")["Django"])
    with override_settings(ROOT_URLCONF=urls):
        yield
    set_urlconf(None)


def cases(table: Mapping[tuple[str, str], tuple[str, ...]]) -> list[tuple[str, str, str]]:
    return [(*where, path) for where, paths in table.items() for path in paths]


@pytest.mark.anyio
@pytest.mark.parametrize(("page", "heading", "path"), cases(UPPER))
async def test_upper_case_in_lock_step(
    page: str, heading: str, path: str, anyio_backend: str
) -> None:
    if page in ON_ASYNCIO and anyio_backend == "trio":
        pytest.skip("its framework needs asyncio")
    async with Exchange(app_of(page, heading), path=path) as exchange:
        for chunk in CHUNKS:
            await exchange.send_chunk(chunk)
            assert await exchange.expect_chunk() == chunk.upper()
        await exchange.end_body()
        await exchange.expect_end()


@pytest.mark.anyio
@pytest.mark.parametrize(("page", "heading", "path"), cases(ECHO))
async def test_echo_in_lock_step(page: str, heading: str, path: str, anyio_backend: str) -> None:
    if page in ON_ASYNCIO and anyio_backend == "trio":
        pytest.skip("its framework needs asyncio")
    async with Exchange(app_of(page, heading), path=path) as exchange:
        for chunk in CHUNKS:
            await exchange.send_chunk(chunk)
            assert await exchange.expect_chunk() == chunk
        await exchange.end_body()
        await exchange.expect_end()


async def whole(app: ASGIApp, path: str, body: bytes) -> bytes | None:
    """The answer to a body that comes in two messages."""
    script = [request(body[:3], more_body=True), request(body[3:])]
    exchange = Exchange(app, path=path, receive=script)
    await exchange.run()
    assert exchange.status == 200
    return exchange.body


@pytest.mark.anyio
async def test_digest_in_fastapi() -> None:
    assert (await whole(app_of("fastapi"), "/digest", b"abc") or b"").startswith(b'"ba7816bf')


@pytest.mark.anyio
async def test_members_in_fastapi() -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("one", b"1")
    app = app_of("fastapi", "The reader as a dependency")
    assert json.loads(await whole(app, "/members", archive.getvalue()) or b"") == ["one"]


@pytest.mark.asyncio
async def test_rows_in_django() -> None:
    assert await whole(app_of("django"), "/stream/rows/", b"one\ntwo\nthree\n") == b"3"


def test_every_page_is_driven() -> None:
    pages = {page.stem for page in RECIPES.glob("*.md")} - {"README"}
    defined = {(page, heading) for page in pages for heading in names_of(page)}
    assert defined == UPPER.keys()
