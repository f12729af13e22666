"""What becomes of a failure: a status before the first byte, a cut connection after it."""

import contextlib
import io
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from asgi_bridge import (
    BodyIncomplete,
    HTTPError,
    Limits,
    Request,
    Response,
    ResponseStarted,
    WorkerPool,
    handler,
)
from asgi_bridge.errors import LengthMismatch
from asgi_bridge.testing import AppState, Exchange, Scripted, body, request, start
from asgi_bridge.types import Message

from .helpers import PromptPool, Step, ending

pytestmark = pytest.mark.anyio


def refusal(status: int, text: str, *more: tuple[bytes, bytes]) -> list[Message]:
    """All messages of a refusal."""
    chunk = text.encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(chunk)).encode()),
        *more,
    ]
    return [start(status, headers), body(chunk)]


async def ended(exchange: Exchange) -> tuple[AppState, type[BaseException] | None]:
    """Run an exchange to its end, whatever that is."""
    async with exchange:
        await exchange.end_body()
        await exchange.wait_closed()
    return ending(exchange)


class StatusMapping(Exception):
    """A status, and parts of the wrong type, which count for nothing."""

    status_code = 409
    detail = 7
    headers = "none"


class OddStatus(Exception):
    status_code = 200


class TextStatus(Exception):
    status_code = "404"


MEANT: list[tuple[Exception, list[Message]]] = [
    (HTTPError(404), refusal(404, "Not Found")),
    (HTTPError(599), refusal(599, "599")),
    (HTTPError(404, "no grün"), refusal(404, "no grün")),
    (HTTPError(401, "who?", {"WWW-Auth": "x"}), refusal(401, "who?", (b"www-auth", b"x"))),
    (HTTPException(418, "tea", {"x-pot": "y"}), refusal(418, "tea", (b"x-pot", b"y"))),
    (StatusMapping(), refusal(409, "Conflict")),
    (BodyIncomplete(1, 2), refusal(400, "Bad Request")),
]


@pytest.mark.parametrize(("error", "messages"), MEANT, ids=repr)
@pytest.mark.parametrize("lazily", [False, True], ids=["in the call", "in the generator"])
async def test_failure_that_stands_for_a_status(
    error: Exception, messages: list[Message], lazily: bool, pool: WorkerPool
) -> None:
    def fail(request: Request, response: Response) -> None:
        response.status = 201
        response.headers["x-dropped"] = "with its response"
        response.write(b"")  # an empty chunk is not a first byte
        raise error

    def fail_lazily(request: Request, response: Response) -> Iterator[bytes]:
        fail(request, response)
        yield b""

    exchange = Exchange(handler(fail_lazily if lazily else fail, pool=pool))
    assert await ended(exchange) == (AppState.RETURNED, None)
    assert exchange.sent == messages


@pytest.mark.parametrize(
    "error", [ValueError("x"), OddStatus(), TextStatus(), EOFError()], ids=repr
)
async def test_other_failure_is_a_500_and_raised(error: Exception, pool: WorkerPool) -> None:
    def fail(request: Request, response: Response) -> None:
        raise error

    exchange = Exchange(handler(fail, pool=pool))
    assert await ended(exchange) == (AppState.RAISED, type(error))
    assert exchange.outcome.exception is error
    assert exchange.sent == refusal(500, "Internal Server Error")


async def test_refusal_of_a_head_request_has_no_body(pool: WorkerPool) -> None:
    def fail(request: Request, response: Response) -> None:
        raise HTTPError(404)

    exchange = Exchange(handler(fail, pool=pool), method="HEAD")
    await ended(exchange)
    assert exchange.sent == [refusal(404, "Not Found")[0], body()]


async def coroutine() -> bytes:
    return b""


@pytest.mark.parametrize(
    ("make", "name"),
    [(lambda: 5, "int"), (coroutine, "coroutine"), (lambda: iter(["text"]), "str")],
    ids=["int", "coroutine", "iterator of str"],
)
async def test_result_that_is_no_body_is_a_type_error(
    make: Callable[[], Any], name: str, pool: WorkerPool
) -> None:
    exchange = Exchange(handler(lambda request, response: make(), pool=pool))
    with pytest.raises(TypeError, match=rf"not {name}\b"):
        await exchange.run()
    assert exchange.sent == refusal(500, "Internal Server Error")


async def test_file_that_reads_text_is_a_type_error(pool: WorkerPool) -> None:
    def text_file(request: Request, response: Response) -> Any:
        return io.StringIO("text")

    exchange = Exchange(handler(text_file, pool=pool))
    with pytest.raises(TypeError, match="not str"):
        await exchange.run()
    assert exchange.sent == refusal(500, "Internal Server Error")


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()], ids=repr)
async def test_handler_cannot_end_the_server(error: BaseException, pool: WorkerPool) -> None:
    def leave(request: Request, response: Response) -> None:
        raise error

    exchange = Exchange(handler(leave, pool=pool))
    assert await ended(exchange) == (AppState.RAISED, RuntimeError)
    assert exchange.outcome.exception is not None
    assert exchange.outcome.exception.__cause__ is error
    assert exchange.sent == refusal(500, "Internal Server Error")


async def test_stop_iteration_is_a_failure_and_not_an_end(pool: WorkerPool) -> None:
    def stop(request: Request, response: Response) -> bytes:
        empty: Iterator[bytes] = iter(())
        return next(empty)

    exchange = Exchange(handler(stop, pool=pool))
    assert await ended(exchange) == (AppState.RAISED, RuntimeError)
    assert exchange.sent == refusal(500, "Internal Server Error")


async def test_failure_after_the_first_byte_cuts_the_connection(prompt_pool: PromptPool) -> None:
    @handler(pool=prompt_pool)
    def app(request: Request, response: Response) -> Iterator[bytes]:
        yield b"a"
        raise HTTPError(404)

    exchange = Exchange(app)
    assert await ended(exchange) == (AppState.RAISED, HTTPError)
    assert exchange.sent == [start(), body(b"a", more_body=True)]


async def test_failure_after_a_sent_byte_cuts_the_connection(pool: WorkerPool) -> None:
    seen = Step()

    @handler(pool=pool)
    def app(request: Request, response: Response) -> Iterator[bytes]:
        yield b"a"
        seen.wait()
        raise ValueError("late")

    async with Exchange(app) as exchange:
        await exchange.end_body()
        assert await exchange.expect_chunk() == b"a"
        seen.take()
        await exchange.wait_closed()
    assert ending(exchange) == (AppState.RAISED, ValueError)
    assert exchange.sent == [start(), body(b"a", more_body=True)]


async def test_failure_after_the_bare_head_cuts_the_connection(prompt_pool: PromptPool) -> None:
    @handler(pool=prompt_pool)
    def app(request: Request, response: Response) -> None:
        response.send_head()
        with contextlib.suppress(ResponseStarted):
            response.status = 201
        raise ValueError("late")

    exchange = Exchange(app)
    assert await ended(exchange) == (AppState.RAISED, ValueError)
    assert exchange.sent == [start(), body(more_body=True)]


async def test_body_past_its_declared_length_is_refused_before_it_is_sent(
    pool: WorkerPool,
) -> None:
    @handler(pool=pool)
    def app(request: Request, response: Response) -> bytes:
        response.headers["content-length"] = "2"
        return b"abc"

    exchange = Exchange(app)
    assert await ended(exchange) == (AppState.RAISED, LengthMismatch)
    assert exchange.status == 500


async def test_body_short_of_its_declared_length_is_never_ended(prompt_pool: PromptPool) -> None:
    @handler(pool=prompt_pool)
    def app(request: Request, response: Response) -> bytes:
        response.headers["content-length"] = "4"
        return b"abc"

    exchange = Exchange(app)
    assert await ended(exchange) == (AppState.RAISED, LengthMismatch)
    assert [message["type"] for message in exchange.sent] == [
        "http.response.start",
        "http.response.body",
    ]
    assert exchange.status == 500  # nothing had been handed over, so it can still be said


async def test_stream_short_of_its_declared_length_is_never_ended(pool: WorkerPool) -> None:
    @handler(pool=pool)
    def app(request: Request, response: Response) -> Iterator[bytes]:
        response.headers["content-length"] = "4"
        yield b"abc"

    exchange = Exchange(app)
    assert await ended(exchange) == (AppState.RAISED, LengthMismatch)
    assert exchange.sent == [
        start(200, [(b"content-length", b"4")]),
        body(b"abc", more_body=True),
    ]


# The request's own failures.


def count(request: Request, response: Response) -> bytes:
    return str(len(request.body.read())).encode()


@pytest.mark.parametrize("at_once", [False, True], ids=["in two", "at once"])
async def test_body_shorter_than_its_length_is_a_400(at_once: bool, pool: WorkerPool) -> None:
    script = [request(b"ab")] if at_once else [request(b"a", more_body=True), request(b"b")]
    exchange = Exchange(
        handler(count, pool=pool), receive=script, headers=[(b"content-length", b"3")]
    )
    assert await exchange.run() == refusal(400, "Bad Request")


@pytest.mark.parametrize("at_once", [False, True], ids=["in two", "at once"])
async def test_body_longer_than_the_limit_is_a_413(at_once: bool, pool: WorkerPool) -> None:
    script = [request(b"abc")] if at_once else [request(b"abc", more_body=True), request()]
    app = handler(count, pool=pool, limits=Limits(max_body_bytes=2))
    exchange = Exchange(app, receive=script)
    assert await exchange.run() == refusal(413, HTTPStatus(413).phrase)
    assert exchange.undelivered == 0


async def test_silent_client_is_a_408(pool: WorkerPool) -> None:
    app = handler(count, pool=pool, limits=Limits(read_timeout=0.01, drain_timeout=0.01))
    async with Exchange(app) as exchange:
        await exchange.send_chunk(b"a")
        await exchange.wait_closed()
    assert exchange.sent == refusal(408, "Request Timeout")


async def test_receive_that_raises_a_status_is_that_status(pool: WorkerPool) -> None:
    script: list[Scripted] = [request(b"a", more_body=True), HTTPException(413, "enough")]
    exchange = Exchange(handler(count, pool=pool), receive=script)
    assert await exchange.run() == refusal(413, "enough")


# The pool's own refusals.


async def test_full_pool_is_a_503_that_says_when_to_come_back() -> None:
    begun, step = Step(), Step()

    def hold(request: Request, response: Response) -> bytes:
        begun.take()
        step.wait()
        return b"done"

    with WorkerPool(size=1, backlog=0) as small:
        app = handler(hold, pool=small)
        async with Exchange(app) as first:
            await first.end_body()
            await begun.reached()
            second = Exchange(app)
            assert await second.run() == refusal(503, "Service Unavailable", (b"retry-after", b"1"))
            step.take()
    assert first.body == b"done"


async def test_closed_pool_is_a_503() -> None:
    pool = WorkerPool(size=1)
    pool.close()
    exchange = Exchange(handler(count, pool=pool))
    assert await exchange.run() == refusal(503, "Service Unavailable")
