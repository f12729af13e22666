"""Whoever waits in a handler is woken by every ending; who cannot be woken is left alone."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from asgi_bridge import (
    ClientDisconnected,
    Limits,
    Request,
    Response,
    WorkerPool,
    WriteTimeout,
    handler,
)
from asgi_bridge.errors import ExchangeOver
from asgi_bridge.protocol.watermarks import Watermarks
from asgi_bridge.testing import AppState, Exchange, body, start
from asgi_bridge.types import Message, Receive, Scope, Send

from .helpers import PromptPool, Step, cancelled_unheard, ending, joined, lines, settled

pytestmark = pytest.mark.anyio

SMALL = Limits(response=Watermarks(high=10, low=5))

Leave = Callable[[Exchange], None]


def leave(exchange: Exchange) -> None:
    exchange.disconnect()
    exchange.stall_send()  # as on the server whose send never returns then


def cancel(exchange: Exchange) -> None:
    exchange.cancel()


ENDINGS = pytest.mark.parametrize(
    ("end", "state", "error"),
    [
        (leave, AppState.RETURNED, ClientDisconnected),
        (cancel, AppState.CANCELLED, ExchangeOver),
    ],
    ids=["client leaves", "task cancelled"],
)


class Recorded:
    """A writing handler that notes what its calls raise.

    Args:
        call: what it does once the response has begun.
    """

    def __init__(self, call: Callable[[Request, Response], object]) -> None:
        self._call = call
        self.saw: list[type[BaseException]] = []

    def __call__(self, request: Request, response: Response) -> None:
        response.write(b"begun")
        for _ in range(2):  # it is raised again for those who swallow it
            try:
                self._call(request, response)
            except ConnectionError as error:
                self.saw.append(type(error))


def read(request: Request, response: Response) -> None:
    request.body.read()


def write(request: Request, response: Response) -> None:
    while True:
        response.write(b"a")


@ENDINGS
@pytest.mark.parametrize("call", [read, write])
async def test_parked_handler_is_woken(
    call: Callable[[Request, Response], object],
    end: Leave,
    state: AppState,
    error: type[BaseException],
    pool: WorkerPool,
) -> None:
    recorded = Recorded(call)
    exchange = cancelled_unheard(handler(recorded, pool=pool, limits=SMALL))
    async with exchange:
        await exchange.expect_start()
        exchange.stall_send()
        await settled()
        end(exchange)
        await exchange.wait_closed()
        assert pool.statistics().busy == 0
    assert recorded.saw == [error, error]
    assert ending(exchange) == (state, None)
    assert not exchange.complete


async def test_producer_that_never_reads_is_stopped_at_its_next_yield(
    pool: WorkerPool, log: pytest.LogCaptureFixture
) -> None:
    half_way, step = Step(), Step()
    told: list[tuple[str, int]] = []

    @handler(pool=pool)
    def app(request: Request, response: Response) -> Iterator[bytes]:
        told.append(("began", threading.get_ident()))
        try:
            yield b"one"
            half_way.take()
            step.wait()
            yield b"two"
            yield b"three"
        except GeneratorExit:
            told.append(("closed", threading.get_ident()))
            raise

    async with Exchange(app) as exchange:
        await exchange.end_body()
        await exchange.until_sent(2)
        await half_way.reached()
        exchange.disconnect()
        await settled()
        step.take()
        await exchange.wait_closed()
        assert pool.statistics().busy == 0
    assert exchange.sent == [start(), body(b"one", more_body=True)]
    assert [what for what, _ in told] == ["began", "closed"]
    assert len({thread for _, thread in told}) == 1
    assert lines(log) == [("INFO", "PUT /: the client went away after 0 bytes of body")]


def give_up(request: Request, response: Response) -> bytes:
    raise ValueError("a failure of its own, after the client has left")


def answer(request: Request, response: Response) -> bytes:
    return b"a"


def stream(request: Request, response: Response) -> bytes:
    return b"more than one message"


@pytest.mark.parametrize(
    ("then", "state", "raised"),
    [
        (give_up, AppState.RAISED, ValueError),
        (answer, AppState.RETURNED, None),
        (stream, AppState.RETURNED, None),
    ],
)
async def test_nothing_is_sent_to_a_client_that_has_left(
    then: Callable[[Request, Response], Any],
    state: AppState,
    raised: type[Exception] | None,
    prompt_pool: PromptPool,
) -> None:
    """A handler that swallows the disconnect gets its answer nowhere."""

    @handler(pool=prompt_pool, limits=Limits(message_bytes=4))
    def app(request: Request, response: Response) -> Any:
        with pytest.raises(ClientDisconnected):
            request.body.read()
        return then(request, response)

    async def gone_already(scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_at_once() -> Message:
            return {"type": "http.disconnect"}

        await app(scope, receive_at_once, send)

    async with Exchange(gone_already) as exchange:
        await exchange.wait_closed()
    assert ending(exchange) == (state, raised)
    assert exchange.sent == []


async def test_handler_that_gives_up_on_a_stalled_client(pool: WorkerPool) -> None:
    limits = Limits(write_timeout=0.02, response=SMALL.response)
    seen: list[type[BaseException]] = []

    @handler(pool=pool, limits=limits)
    def app(request: Request, response: Response) -> None:
        try:
            write(request, response)
        except BaseException as error:
            seen.append(type(error))
            raise

    exchange = Exchange(app)
    exchange.stall_send()
    async with exchange:
        await exchange.end_body()
        await exchange.wait_closed()
    assert seen == [WriteTimeout]
    assert ending(exchange) == (AppState.RAISED, WriteTimeout)
    assert exchange.sent == []


async def test_timeouts_look_whether_anything_has_moved(pool: WorkerPool) -> None:
    """A send that is slow, but not as slow as the limit, is left in peace."""
    limits = Limits(write_timeout=0.02)
    seen = Step()

    @handler(pool=pool, limits=limits)
    def app(request: Request, response: Response) -> Iterator[bytes]:
        yield b"a"
        seen.wait()
        yield b"b"

    async with Exchange(app) as exchange:
        await exchange.end_body()
        assert await exchange.expect_chunk() == b"a"
        exchange.stall_send()
        seen.take()
        await exchange.wait_closed()
    assert ending(exchange) == (AppState.RAISED, WriteTimeout)
    assert joined(exchange.sent) == [start(), body(b"a", more_body=True)]


@ENDINGS
async def test_worker_that_cannot_be_woken_is_left_alone(
    end: Leave,
    state: AppState,
    error: type[BaseException],
    pool: WorkerPool,
    log: pytest.LogCaptureFixture,
) -> None:
    stuck, freed = Step(), Step()

    @handler(pool=pool, limits=Limits(abandon_timeout=0.05))
    def app(request: Request, response: Response) -> Iterator[bytes]:
        try:
            yield b"a"
            stuck.wait()
            yield b"b"
        finally:
            freed.take()

    async with Exchange(app) as exchange:
        await exchange.end_body()
        await exchange.until_sent(2)
        await settled()
        end(exchange)
        await exchange.wait_closed()
    assert ending(exchange) == (state, None)
    assert [text for level, text in lines(log) if level == "WARNING"] == [
        "PUT /: its worker is still busy 0.05 s after the exchange ended; it is left alone"
    ]
    assert pool.statistics().busy == 1
    stuck.take()
    await freed.reached()
    await pool.aclose()
    assert pool.statistics().busy == 0
    assert exchange.sent == [start(), body(b"a", more_body=True)]
