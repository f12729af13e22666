"""Graceful: the outermost application of `asgi-bridge serve`."""

import queue
from collections.abc import Iterator

import pytest

from asgi_bridge import BridgeMiddleware, Limits, Request, Response, WorkerPool, handler
from asgi_bridge.cli import graceful
from asgi_bridge.cli.graceful import Graceful
from asgi_bridge.crossing.here import current_portal
from asgi_bridge.testing import AppState, Exchange, body, request, start
from asgi_bridge.types import Message, Receive, Scope, Send

pytestmark = pytest.mark.anyio


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(size=2) as pool:
        yield pool


def never(code: int) -> None:
    raise AssertionError("the process is not to be ended")


async def live(app: Graceful) -> None:
    """Begin a lifespan, to which the application ends its part at once."""

    async def receive() -> Message:
        raise AssertionError("the application does not ask")

    async def send(message: Message) -> None:
        raise AssertionError("nor answer")

    await app({"type": "lifespan"}, receive, send)


async def without_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    """Returns at once."""


async def test_graceful_timeout_goes_before_all_limits(pool: WorkerPool) -> None:
    def streams(request: Request, response: Response) -> Iterator[bytes]:
        yield b"first"
        yield request.body.read()

    app = handler(streams, pool=pool, limits=Limits(shutdown_timeout=None))
    await live(Graceful(BridgeMiddleware(without_lifespan), 0.0, end_process=never))
    shutdown = current_portal().shutdown
    shutdown.alarm = None
    async with Exchange(Graceful(app, 0.0, end_process=never)) as exchange:
        await exchange.send_chunk(b"a")
        await exchange.until_sent(2)
        shutdown.hear()
        await exchange.wait_closed()
    # It returns, and the server cuts: see the tests on real servers.
    assert exchange.outcome.state is AppState.RETURNED
    assert exchange.sent == [start(200), body(b"first", more_body=True)]


async def test_what_else_is_raised_goes_on(pool: WorkerPool) -> None:
    def fails(request: Request, response: Response) -> None:
        raise LookupError

    exchange = Exchange(Graceful(handler(fails, pool=pool), 1.0), receive=[request()])
    with pytest.raises(LookupError):
        await exchange.run()


async def test_process_is_ended_by_force(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(graceful, "FORCE_GRACE", 0)
    codes: queue.SimpleQueue[int] = queue.SimpleQueue()
    await live(Graceful(without_lifespan, 0.0, end_process=codes.put))
    assert codes.empty()
    current_portal().shutdown.hear()
    assert codes.get(timeout=5) == 0
    assert "ended by force" in capsys.readouterr().err
