"""Trailers and digests: announced with the start, sent after a clean end, and only there."""

import base64
import hashlib
from collections.abc import Iterator

import pytest

from asgi_bridge import (
    BridgeMiddleware,
    Limits,
    Request,
    Response,
    ResponseStarted,
    WorkerPool,
    handler,
)
from asgi_bridge.testing import AppState, Exchange, body, scope_for
from asgi_bridge.trailers import takes_trailers
from asgi_bridge.types import Message, Scope

from .helpers import PromptPool, ending

pytestmark = pytest.mark.anyio

CHUNK = b"0123456789" * 10
WHOLE = CHUNK * 3
MANY = Limits(message_bytes=100)


def offering(te: bytes | None = b"trailers", method: str = "PUT") -> Scope:
    """A server that offers trailers, and a client that takes them."""
    headers = [] if te is None else [(b"te", te)]
    return scope_for(method=method, headers=headers, extensions={"http.response.trailers": {}})


def field(content: bytes, algorithm: str = "sha-256") -> tuple[bytes, bytes]:
    digest = hashlib.new(algorithm.replace("-", ""), content).digest()
    return b"content-digest", b"%s=:%s:" % (algorithm.encode(), base64.b64encode(digest))


def trailers(*headers: tuple[bytes, bytes]) -> Message:
    return {"type": "http.response.trailers", "headers": list(headers), "more_trailers": False}


def lock_step(request: Request, response: Response) -> Iterator[bytes]:
    """Streams: each chunk is answered before the next one comes."""
    yield from request.body.chunks()


async def streamed(exchange: Exchange) -> list[Message]:
    """Have `lock_step` stream, and return all that it sent."""
    async with exchange:
        for _ in range(3):
            await exchange.send_chunk(CHUNK)
            await exchange.expect_bytes(len(CHUNK))
        await exchange.end_body()
    return exchange.sent


@pytest.mark.parametrize("algorithm", ["sha-256", "sha-512"])
async def test_stream_has_its_digest_in_a_trailer(algorithm: str, pool: WorkerPool) -> None:
    app = handler(lock_step, pool=pool, digest=algorithm)
    sent = await streamed(Exchange(app, offering()))
    assert sent[0] == {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"trailer", b"content-digest")],
        "trailers": True,
    }
    assert sent[1:-2] == [body(CHUNK, more_body=True)] * 3
    assert sent[-2:] == [body(), trailers(field(WHOLE, algorithm))]


async def test_trailers_pass_the_middleware(pool: WorkerPool) -> None:
    app = BridgeMiddleware(handler(lock_step, pool=pool, digest="sha-256"))
    exchange = Exchange(app, offering())
    assert (await streamed(exchange))[-1] == trailers(field(WHOLE))
    assert exchange.complete


@pytest.mark.parametrize(
    "scope",
    [
        pytest.param(offering(None), id="client does not ask"),
        pytest.param(offering(b"gzip"), id="client asks for something else"),
        pytest.param(scope_for(headers=[(b"te", b"trailers")]), id="server does not offer"),
    ],
)
async def test_stream_without_trailers(scope: Scope, pool: WorkerPool) -> None:
    app = handler(lock_step, pool=pool, digest="sha-256")
    sent = await streamed(Exchange(app, scope))
    assert sent[0] == {"type": "http.response.start", "status": 200, "headers": []}
    assert sent[-1] == body()


@pytest.mark.parametrize("te", [b"trailers", b"Trailers", b"gzip;q=0.5, trailers"])
def test_client_takes_trailers(te: bytes) -> None:
    assert takes_trailers(offering(te))


@pytest.mark.parametrize("form", ["returned", "yielded", "longer than a message", "view"])
async def test_whole_body_has_its_digest_in_the_header(form: str) -> None:
    def whole(request: Request, response: Response) -> bytes | list[bytes] | memoryview:
        if form == "view":  # of every other byte
            return memoryview(b"".join(bytes((each, 0)) for each in WHOLE))[::2]
        return [CHUNK, CHUNK * 2] if form == "yielded" else WHOLE

    limits = MANY if form == "longer than a message" else Limits()
    pool = PromptPool()
    exchange = Exchange(handler(whole, pool=pool, digest="sha-256", limits=limits), offering())
    await exchange.run()
    pool.close()
    assert exchange.sent[0] == {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-length", b"300"), field(WHOLE)],
    }
    assert (exchange.body, exchange.complete) == (WHOLE, True)


async def test_own_digest_stands(pool: WorkerPool) -> None:
    @handler(pool=pool, digest="sha-256")
    def app(request: Request, response: Response) -> bytes:
        response.headers["content-digest"] = "sha-512=:AA==:"
        return WHOLE

    exchange = Exchange(app, offering())
    await exchange.run()
    assert exchange.sent[0]["headers"] == [
        (b"content-digest", b"sha-512=:AA==:"),
        (b"content-length", b"300"),
    ]
    assert "trailers" not in exchange.sent[0]


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
async def test_response_without_a_body_has_no_digest(
    method: str, status: int, pool: WorkerPool
) -> None:
    @handler(pool=pool, digest="sha-256")
    def app(request: Request, response: Response) -> bytes:
        response.status = status
        response.trailers["x-rows"] = "3"
        return WHOLE

    exchange = Exchange(app, offering(method=method))
    await exchange.run()
    assert "trailers" not in exchange.sent[0]
    assert b"content-digest" not in dict(exchange.sent[0]["headers"])
    assert exchange.complete


async def test_own_trailers_follow_a_stream(pool: WorkerPool) -> None:
    @handler(pool=pool, digest="sha-256")
    def app(request: Request, response: Response) -> Iterator[bytes]:
        rows = response.trailers
        count = 0
        for chunk in request.body.chunks():
            count += 1
            yield chunk
        rows["x-rows"] = str(count)

    sent = await streamed(Exchange(app, offering()))
    assert sent[-1] == trailers((b"x-rows", b"3"), field(WHOLE))


async def test_own_trailers_follow_a_whole_body(pool: WorkerPool) -> None:
    @handler(pool=pool)
    def app(request: Request, response: Response) -> bytes:
        response.trailers["x-rows"] = "3"
        return b"abc"

    exchange = Exchange(app, offering())
    await exchange.run()
    assert exchange.sent == [
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-length", b"3")],
            "trailers": True,
        },
        body(b"abc"),
        trailers((b"x-rows", b"3")),
    ]


async def test_own_trailers_are_dropped_where_nobody_takes_them(pool: WorkerPool) -> None:
    @handler(pool=pool)
    def app(request: Request, response: Response) -> bytes:
        response.trailers["x-rows"] = "3"
        return b"abc"

    exchange = Exchange(app)
    await exchange.run()
    assert exchange.sent[1:] == [body(b"abc")]


async def test_promised_trailers_may_be_none(pool: WorkerPool) -> None:
    """A server that was promised them waits for them."""

    @handler(pool=pool)
    def app(request: Request, response: Response) -> bytes:
        response.trailers  # noqa: B018  # touching it is the promise
        return b"abc"

    exchange = Exchange(app, offering())
    await exchange.run()
    assert exchange.sent[-1] == trailers()


async def test_no_trailers_after_a_failure(pool: WorkerPool) -> None:
    @handler(pool=pool, digest="sha-256")
    def app(request: Request, response: Response) -> Iterator[bytes]:
        yield request.body.read(len(CHUNK))
        request.body.read()
        raise LookupError("a failure")

    async with Exchange(app, offering()) as exchange:
        await exchange.send_chunk(CHUNK)
        await exchange.expect_bytes(len(CHUNK))
        await exchange.end_body()
        await exchange.wait_closed()
    assert [each["type"] for each in exchange.sent] == [
        "http.response.start",
        "http.response.body",
    ]
    assert not exchange.complete
    assert ending(exchange) == (AppState.RAISED, LookupError)


async def test_refusal_has_no_trailers(pool: WorkerPool) -> None:
    @handler(pool=pool, digest="sha-256")
    def app(request: Request, response: Response) -> bytes:
        response.trailers["x-rows"] = "3"
        raise LookupError("before the first byte")

    async with Exchange(app, offering()) as exchange:
        await exchange.end_body()
        await exchange.wait_closed()
    assert exchange.status == 500
    assert exchange.complete
    assert "trailers" not in exchange.sent[0]


async def test_trailers_come_too_late_after_the_first_byte(pool: WorkerPool) -> None:
    met: list[type] = []

    @handler(pool=pool)
    def app(request: Request, response: Response) -> None:
        response.write(b"abc")
        try:
            response.trailers["x-rows"] = "3"
        except ResponseStarted as error:
            met.append(type(error))

    exchange = Exchange(app, offering())
    await exchange.run()
    assert met == [ResponseStarted]
    assert (exchange.body, exchange.complete) == (b"abc", True)
    assert "trailers" not in exchange.sent[0]


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Trailer", "set-cookie"])
async def test_field_that_has_no_place_after_the_body(name: str, pool: WorkerPool) -> None:
    met: list[str] = []

    @handler(pool=pool)
    def app(request: Request, response: Response) -> bytes:
        try:
            response.trailers[name] = "3"
        except ValueError as error:
            met.append(str(error))
        return b"abc"

    exchange = Exchange(app, offering())
    await exchange.run()
    assert met == [f"{name!r} is of no use after the body"]
    assert exchange.sent[-1] == trailers()


def test_digest_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match="sha-256, sha-512, not 'md5'"):
        handler(digest="md5")
