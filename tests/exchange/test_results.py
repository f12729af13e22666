"""What becomes of a handler's result."""

import io
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from asgi_bridge import Limits, Request, Response, WorkerPool, handler
from asgi_bridge.testing import Exchange, body, request, start
from asgi_bridge.types import RawHeaders

from .helpers import PromptPool

pytestmark = pytest.mark.anyio

TEXT = (b"content-type", b"text/plain; charset=utf-8")


def length(size: int) -> tuple[bytes, bytes]:
    return (b"content-length", str(size).encode())


def three() -> Iterator[bytes | bytearray | memoryview]:
    yield b"a"
    yield bytearray(b"b")
    yield memoryview(b"c")


def nothing() -> Iterator[bytes]:
    yield from ()


@pytest.mark.parametrize(
    ("make", "headers", "chunk"),
    [
        (lambda: b"abc", [length(3)], b"abc"),
        (lambda: bytearray(b"abc"), [length(3)], b"abc"),
        (lambda: memoryview(b"abc"), [length(3)], b"abc"),
        (lambda: "grün", [TEXT, length(5)], "grün".encode()),
        (three, [length(3)], b"abc"),
        (nothing, [length(0)], b""),
        (lambda: [], [length(0)], b""),
        (lambda: [b""], [length(0)], b""),
        (lambda: [b"ab", b"", b"c"], [length(3)], b"abc"),
        (lambda: io.BytesIO(b"abc"), [length(3)], b"abc"),
        (lambda: None, [length(0)], b""),
    ],
    ids=[
        *("bytes", "bytearray", "memoryview", "str", "generator", "empty generator"),
        *("empty list", "list of nothing", "list", "file", "none"),
    ],
)
async def test_whole_result_has_its_length(
    make: Callable[[], Any], headers: RawHeaders, chunk: bytes, prompt_pool: PromptPool
) -> None:
    app = handler(lambda request, response: make(), pool=prompt_pool)
    assert await Exchange(app).run() == [start(200, headers), body(chunk)]


async def test_written_body_is_whole_too(prompt_pool: PromptPool) -> None:
    @handler(pool=prompt_pool)
    def app(request: Request, response: Response) -> None:
        response.status = 201
        response.headers["x-name"] = "value"
        response.write(b"ab")
        response.write(memoryview(b"c"))

    sent = await Exchange(app).run()
    assert sent == [start(201, [(b"x-name", b"value"), length(3)]), body(b"abc")]


async def test_what_is_returned_follows_what_was_written(prompt_pool: PromptPool) -> None:
    @handler(pool=prompt_pool)
    def app(request: Request, response: Response) -> bytes:
        response.write(b"ab")
        return b"c"

    assert await Exchange(app).run() == [start(200, [length(3)]), body(b"abc")]


async def test_text_keeps_the_type_that_the_handler_has_set(prompt_pool: PromptPool) -> None:
    @handler(pool=prompt_pool)
    def app(request: Request, response: Response) -> str:
        response.headers["content-type"] = "application/json"
        return "{}"

    headers = [(b"content-type", b"application/json"), length(2)]
    assert await Exchange(app).run() == [start(200, headers), body(b"{}")]


async def test_request_body_is_a_file_to_return(pool: WorkerPool) -> None:
    app = handler(lambda request, response: request.body, pool=pool)
    script = [request(b"a", more_body=True), request(b"", more_body=True), request(b"b")]
    exchange = Exchange(app, receive=script)
    await exchange.run()
    assert (exchange.status, exchange.body, exchange.complete) == (200, b"ab", True)


async def test_result_is_closed_where_it_was_read(prompt_pool: PromptPool) -> None:
    where: list[tuple[str, int]] = []

    class Told(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            where.append(("read", threading.get_ident()))
            return super().read(size)

        def close(self) -> None:
            where.append(("close", threading.get_ident()))
            super().close()

    file = Told(b"abc")
    app = handler(lambda request, response: file, pool=prompt_pool)
    await Exchange(app).run()
    assert file.closed
    threads = {thread for _, thread in where}
    assert [what for what, _ in where][:3] == ["read", "read", "close"]
    assert len(threads) == 1
    assert threading.get_ident() not in threads


async def test_declared_length_is_kept(prompt_pool: PromptPool) -> None:
    @handler(pool=prompt_pool)
    def app(request: Request, response: Response) -> bytes:
        response.headers["content-length"] = "3"
        return b"abc"

    assert await Exchange(app).run() == [start(200, [length(3)]), body(b"abc")]


async def test_whole_result_too_large_for_one_message_is_split(prompt_pool: PromptPool) -> None:
    app = handler(
        lambda request, response: b"abcde", pool=prompt_pool, limits=Limits(message_bytes=2)
    )
    assert await Exchange(app).run() == [
        start(200, [length(5)]),
        body(b"ab", more_body=True),
        body(b"cd", more_body=True),
        body(b"e", more_body=True),
        body(),
    ]


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)], ids=["HEAD", "204", "304"]
)
async def test_response_without_a_body(method: str, status: int, prompt_pool: PromptPool) -> None:
    closed = threading.Event()

    @handler(pool=prompt_pool)
    def app(request: Request, response: Response) -> Iterator[bytes]:
        response.status = status
        try:
            while True:  # the client will see nothing of it, so it is not asked for more
                yield b"abc"
        finally:
            closed.set()

    assert await Exchange(app, method=method).run() == [start(status), body()]
    assert closed.is_set()


async def test_head_tells_the_length_of_a_returned_body(pool: WorkerPool) -> None:
    app = handler(lambda request, response: b"abc", pool=pool)
    assert await Exchange(app, method="HEAD").run() == [start(200, [length(3)]), body()]


async def test_head_keeps_the_length_that_a_get_would_have(prompt_pool: PromptPool) -> None:
    @handler(pool=prompt_pool)
    def app(request: Request, response: Response) -> None:
        response.headers["content-length"] = "3"

    assert await Exchange(app, method="HEAD").run() == [start(200, [length(3)]), body()]


async def test_request_is_what_the_server_said(prompt_pool: PromptPool) -> None:
    seen = []

    @handler(pool=prompt_pool)
    def app(request: Request, response: Response) -> None:
        seen.append((request.method, request.path, request.query, dict(request.headers)))

    headers = [(b"x-a", b"1")]
    exchange = Exchange(app, path="/p", method="GET", query_string=b"q=1", headers=headers)
    before = {**exchange.scope}
    await exchange.run()
    assert seen == [("GET", "/p", {"q": "1"}, {"x-a": "1"})]
    assert exchange.scope == before
