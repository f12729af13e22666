"""A server that shuts down: who is let go, with what, and what the client gets."""

import asyncio
import gc
import signal
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import anyio.to_thread
import pytest
import trio

from asgi_bridge import (
    BridgeMiddleware,
    ExchangeOver,
    ExchangeStats,
    HTTPError,
    Limits,
    Outcome,
    Request,
    Response,
    ServerShutdown,
    WorkerPool,
    handler,
    open_body,
)
from asgi_bridge.crossing.here import current_portal
from asgi_bridge.crossing.shutdown import Shutdown
from asgi_bridge.crossing.signals import HEARD
from asgi_bridge.testing import AppState, Exchange, body, request, scope_for, start
from asgi_bridge.types import Message, Receive, Scope, Send

from .helpers import SHUT_DOWN_503, WAIT, Step, cancelled_unheard, ending, lines, settled

pytestmark = pytest.mark.anyio

AT_ONCE = Limits(shutdown_timeout=0.0)


@contextmanager
def lifespan() -> Iterator[Shutdown]:
    """The shutdown of the running loop, with a lifespan open meanwhile, and no signals."""
    shutdown = current_portal().shutdown
    shutdown.open(listen=False)
    try:
        yield shutdown
    finally:
        shutdown.close()


class Reads:
    """A handler that reads all of its body, and keeps what it meets."""

    def __init__(self) -> None:
        self.met: BaseException | None = None
        self.begun = Step()

    def __call__(self, request: Request, response: Response) -> bytes:
        self.begun.take()
        try:
            return request.body.read()
        except BaseException as error:
            self.met = error
            raise


def one_warning(log: pytest.LogCaptureFixture) -> str:
    """The only line in the log."""
    ((level, text),) = lines(log)
    assert level == "WARNING"
    return text


async def test_exchange_has_its_time(pool: WorkerPool, log: pytest.LogCaptureFixture) -> None:
    reads = Reads()
    with lifespan() as shutdown:
        async with Exchange(handler(reads, pool=pool)) as exchange:
            await exchange.send_chunk(b"a")
            await reads.begun.reached()
            shutdown.hear()
            shutdown.hear()
            await settled()
            await exchange.end_body(b"b")
        assert shutdown.begun is not None
    assert exchange.sent[-1] == body(b"ab")
    assert lines(log) == []


@pytest.mark.parametrize("seconds", [0.0, 0.05])
async def test_handler_that_reads_is_let_go_when_its_time_is_over(
    seconds: float, pool: WorkerPool, log: pytest.LogCaptureFixture
) -> None:
    reads = Reads()
    app = handler(reads, pool=pool, limits=Limits(shutdown_timeout=seconds, drain_timeout=0.01))
    with lifespan() as shutdown:
        async with Exchange(app) as exchange:
            await exchange.send_chunk(b"a")
            await reads.begun.reached()
            shutdown.hear()
    assert exchange.sent == SHUT_DOWN_503
    assert isinstance(reads.met, ServerShutdown)
    assert "PUT /: the server is shutting down" in one_warning(log)


async def test_no_connection_is_closed_by_a_header_in_http_2(pool: WorkerPool) -> None:
    app = handler(Reads(), pool=pool, limits=AT_ONCE)
    with lifespan() as shutdown:
        async with Exchange(app, scope={**scope_for(), "http_version": "2"}) as exchange:
            await exchange.send_chunk(b"a")
            shutdown.hear()
            await exchange.expect_start()
            await exchange.end_body()
    assert exchange.sent[0] == start(503, SHUT_DOWN_503[0]["headers"][:-1])


async def test_handler_that_is_stuck_is_left_alone(
    pool: WorkerPool, log: pytest.LogCaptureFixture
) -> None:
    go, begun = Step(), Step()

    def stuck(request: Request, response: Response) -> bytes:
        begun.take()
        go.wait()
        return b"late"

    app = handler(stuck, pool=pool, limits=Limits(shutdown_timeout=0.0, abandon_timeout=0.01))
    with lifespan() as shutdown:
        async with Exchange(app, receive=[request()]) as exchange:
            await begun.reached()
            shutdown.hear()
    assert exchange.sent == SHUT_DOWN_503
    go.take()
    first, second = lines(log)
    assert "the server is shutting down" in first[1]
    assert "still busy" in second[1]


@pytest.mark.parametrize("write_timeout", [60.0, None])
async def test_application_whose_send_is_stuck(
    write_timeout: float | None, log: pytest.LogCaptureFixture
) -> None:
    stats: list[ExchangeStats] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        while True:
            await send(body(b"a", more_body=True))

    limits = Limits(shutdown_timeout=0.0, write_timeout=write_timeout)
    bridged = BridgeMiddleware(app, limits=limits, on_exchange_end=stats.append)
    with lifespan() as shutdown:
        async with Exchange(bridged) as exchange:
            await exchange.until_sent(2)
            exchange.stall_send()
            await exchange.until_sending()
            shutdown.hear()
            await exchange.wait_closed()
    assert ending(exchange) == (AppState.RAISED, ServerShutdown)
    assert not any(each == body() for each in exchange.sent)
    assert [each.outcome for each in stats] == [Outcome.SHUT_DOWN]
    assert one_warning(log)


@pytest.mark.parametrize("answers", [True, False])
async def test_application_that_receives(answers: bool, log: pytest.LogCaptureFixture) -> None:
    """A framework answers 500 for what it knows nothing of; it raises in any case."""
    met: list[BaseException] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            while (await receive())["more_body"]:
                pass
        except Exception as error:
            met.append(error)
            if answers:
                await send(start(500))
                await send(body(b"oh"))
            raise

    with lifespan() as shutdown:
        async with Exchange(BridgeMiddleware(app, limits=AT_ONCE)) as exchange:
            await exchange.send_chunk(b"a")
            await exchange.until_receiving()
            shutdown.hear()
            await settled()
            await exchange.end_body()
    assert exchange.sent == SHUT_DOWN_503
    assert [type(each) for each in met] == [ServerShutdown]
    assert one_warning(log)


async def test_answer_that_comes_all_the_same_goes_out() -> None:
    go = Step()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await go.reached()
        await send(start(201))
        await send(body(b"done"))

    with lifespan() as shutdown:
        async with Exchange(BridgeMiddleware(app, limits=AT_ONCE)) as exchange:
            shutdown.hear()
            await settled()
            go.take()
    assert exchange.sent == [start(201), body(b"done")]


async def test_body_that_is_opened_too_late(log: pytest.LogCaptureFixture) -> None:
    go = Step()
    met: list[BaseException] = []

    def read(scope: Scope) -> None:
        try:
            open_body(scope).read()
        except ServerShutdown as error:
            met.append(error)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await go.reached()
        await anyio.to_thread.run_sync(read, scope)
        await send(start(200))
        await send(body())

    with lifespan() as shutdown:
        async with Exchange(BridgeMiddleware(app, limits=AT_ONCE)) as exchange:
            shutdown.hear()
            await settled()
            go.take()
            await exchange.wait_closed()
    assert len(met) == 1


async def test_handler_inside_the_middleware_is_logged_once(
    pool: WorkerPool, log: pytest.LogCaptureFixture
) -> None:
    reads = Reads()
    inner = handler(reads, pool=pool, limits=AT_ONCE)
    with lifespan() as shutdown:
        async with Exchange(BridgeMiddleware(inner)) as exchange:
            await exchange.send_chunk(b"a")
            await reads.begun.reached()
            shutdown.hear()
            await settled()
            await exchange.end_body()
    assert exchange.sent == SHUT_DOWN_503
    assert isinstance(reads.met, ServerShutdown)
    assert one_warning(log)


async def test_handler_inside_the_middleware_has_its_own_time(pool: WorkerPool) -> None:
    reads = Reads()
    with lifespan() as shutdown:
        async with Exchange(
            BridgeMiddleware(handler(reads, pool=pool), limits=AT_ONCE)
        ) as exchange:
            await exchange.send_chunk(b"a")
            await reads.begun.reached()
            shutdown.hear()
            await settled()
            await exchange.end_body(b"b")
        assert exchange.sent[-1] == body(b"ab")


async def test_exchange_that_is_only_being_closed_is_over(log: pytest.LogCaptureFixture) -> None:
    """It waits for a receive() that does not heed its cancellation."""
    answered, let_go = anyio.Event(), anyio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def wait() -> None:
            await receive()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await settled()
            await send(start())
            await send(body(b"all"))
            tasks.cancel_scope.cancel()
        answered.set()

    async def deaf() -> Message:
        with anyio.CancelScope(shield=True):
            await let_go.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        pass

    async with anyio.create_task_group() as tasks:
        with lifespan():
            bridged = BridgeMiddleware(app, limits=Limits(drain_timeout=0.0))
            tasks.start_soon(bridged, scope_for(), deaf, send)
            await answered.wait()
            await settled()
        let_go.set()
    assert lines(log) == []


async def test_request_that_comes_during_the_shutdown(pool: WorkerPool) -> None:
    with lifespan() as shutdown:
        shutdown.hear()
        await settled()
        for _ in range(2):  # the second comes when nothing else runs any more
            async with Exchange(handler(Reads(), pool=pool, limits=AT_ONCE)) as exchange:
                await exchange.send_chunk(b"a")
                await settled()
                await exchange.end_body()
            assert exchange.sent == SHUT_DOWN_503
            await settled()


@pytest.mark.parametrize("begun", [True, False])
async def test_cancellation_in_a_shutdown(begun: bool, pool: WorkerPool) -> None:
    """Servers cancel what takes longer than their own graceful time."""
    reads = Reads()
    app = handler(reads, pool=pool, limits=Limits(shutdown_timeout=None))
    with lifespan() as shutdown:
        async with cancelled_unheard(app) as exchange:
            await exchange.send_chunk(b"a")
            await reads.begun.reached()
            if begun:
                shutdown.hear()
            await settled()
            exchange.cancel()
            await exchange.wait_closed()
        assert type(reads.met) is (ServerShutdown if begun else ExchangeOver)


async def test_cancellation_of_an_application_in_a_shutdown() -> None:
    begun, met = Step(), Step()

    def read(scope: Scope) -> None:
        try:
            with open_body(scope) as reader:
                begun.take()
                reader.read()
        except ServerShutdown:
            met.take()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.to_thread.run_sync(read, scope, abandon_on_cancel=True)

    bridged = BridgeMiddleware(app, limits=Limits(shutdown_timeout=None))
    with lifespan() as shutdown:
        async with cancelled_unheard(bridged) as exchange:
            await exchange.send_chunk(b"a")
            await begun.reached()
            shutdown.hear()
            await settled()
            exchange.cancel()
            await exchange.wait_closed()
        await met.reached()


# The lifespan.


async def live(app: BridgeMiddleware, *messages: str) -> None:
    """Give an application a lifespan of these messages."""
    script = iter(messages)

    async def receive() -> Message:
        return {"type": f"lifespan.{next(script)}"}

    async def send(message: Message) -> None:
        pass

    await app({"type": "lifespan"}, receive, send)


async def lives(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that knows the lifespan."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def test_end_of_the_last_lifespan_ends_what_runs(
    pool: WorkerPool, log: pytest.LogCaptureFixture
) -> None:
    reads = Reads()
    app = handler(reads, pool=pool, limits=Limits(shutdown_timeout=None))
    with lifespan() as shutdown:
        async with Exchange(app) as exchange:
            await exchange.send_chunk(b"a")
            await reads.begun.reached()
            await live(BridgeMiddleware(lives), "startup", "shutdown")
            assert shutdown.begun is None  # there is another one
            shutdown.open(listen=False)
            shutdown.close()
            assert lines(log) == []
            shutdown.close()
            await settled()
            await exchange.end_body()
            shutdown.open(listen=False)
            assert shutdown.begun is None  # as if nothing had been
    assert exchange.sent == SHUT_DOWN_503
    assert one_warning(log) == "PUT /: the server has shut down"


@contextmanager
def server_listening() -> Iterator[list[int]]:
    """Handlers of both signals, of a server that only notes them."""
    heard: list[int] = []
    before = {
        number: signal.signal(number, lambda number, frame: heard.append(number))
        for number in HEARD
    }
    yield heard
    for number, handle in before.items():
        signal.signal(number, handle)


async def test_signal_between_begin_and_end_of_the_lifespan(pool: WorkerPool) -> None:
    reads = Reads()
    told = anyio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await inner(scope, receive, send)
            return
        await receive()
        await told.wait()
        await receive()

    inner = handler(reads, pool=pool)
    bridged = BridgeMiddleware(app, limits=AT_ONCE)
    with server_listening() as heard:
        own = signal.getsignal(signal.SIGTERM)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(live, bridged, "startup", "shutdown")
            await settled()
            assert signal.getsignal(signal.SIGTERM) is not own
            async with Exchange(handler(reads, pool=pool, limits=AT_ONCE)) as exchange:
                await exchange.send_chunk(b"a")
                await reads.begun.reached()
                signal.raise_signal(signal.SIGTERM)
                await settled()
                await exchange.end_body()
            assert exchange.sent == SHUT_DOWN_503
            assert heard == [signal.SIGTERM]
            told.set()
        assert signal.getsignal(signal.SIGTERM) is own


async def test_no_limit_is_no_listening() -> None:
    bridged = BridgeMiddleware(lives, limits=Limits(shutdown_timeout=None))
    seen: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(signal.getsignal(signal.SIGTERM))
        await bridged(scope, receive, send)
        seen.append(signal.getsignal(signal.SIGTERM))

    with server_listening():
        own = signal.getsignal(signal.SIGTERM)
        await live(
            BridgeMiddleware(app, limits=Limits(shutdown_timeout=None)), "startup", "shutdown"
        )
    assert seen == [own, own]


async def test_signal_of_the_loop_itself_still_comes(pool: WorkerPool) -> None:
    """Hypercorn and granian listen with what their event loops have for it."""
    reads = Reads()
    async with anyio.create_task_group() as tasks:
        told = anyio.Event()
        if "trio" in sys.modules and trio.lowlevel.in_trio_run():
            signals = trio.open_signal_receiver(signal.SIGTERM)

            async def until_told() -> None:
                with signals as received:
                    ready.set()
                    await received.__anext__()
                    told.set()

            ready = anyio.Event()
            tasks.start_soon(until_told)
            await ready.wait()
        else:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
        shutdown = current_portal().shutdown
        shutdown.open(listen=True)
        async with Exchange(handler(reads, pool=pool, limits=AT_ONCE)) as exchange:
            await exchange.send_chunk(b"a")
            await reads.begun.reached()
            signal.raise_signal(signal.SIGTERM)
            with anyio.fail_after(WAIT):
                await told.wait()
            await settled()
            await exchange.end_body()
        shutdown.close()
    assert exchange.sent == SHUT_DOWN_503
    if not ("trio" in sys.modules and trio.lowlevel.in_trio_run()):
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)


# What servers need beside.


class ServerSide:
    """A server's callables, both of one object, as granian's are. Its upload stalls."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self._told = False

    async def receive(self) -> Message:
        if self._told:
            await anyio.sleep_forever()
        self._told = True
        return request(b"a", more_body=True)

    async def send(self, message: Message) -> None:
        self.sent.append(message)


def refuses(request: Request, response: Response) -> None:
    request.body.read(1)
    raise HTTPError(403)


async def receives(scope: Scope, receive: Receive, send: Send) -> None:
    while True:
        await receive()


@pytest.mark.parametrize("bridged", [True, False])
async def test_nothing_holds_the_server_after_a_refusal(bridged: bool, pool: WorkerPool) -> None:
    """Granian closes such a connection when its callables are garbage, and not before."""
    limits = Limits(drain_timeout=0.01, read_timeout=0.01)
    app = (
        BridgeMiddleware(receives, limits=limits)
        if bridged
        else handler(refuses, pool=pool, limits=limits)
    )
    server = ServerSide()
    gone = threading.Event()
    weakref.finalize(server, gone.set)
    gc.collect()
    gc.disable()
    try:
        await app(scope_for(headers=[(b"content-length", b"10")]), server.receive, server.send)
        assert server.sent[0]["status"] in (403, 408)
        del server
        await settled()
        assert gone.is_set()
    finally:
        gc.enable()


async def test_upload_is_drained_once() -> None:
    received, drained = anyio.Event(), anyio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        intake = scope["asgi_bridge"].intake
        received.set()
        await intake.drain()
        drained.set()
        await intake.drain()

    bridged = BridgeMiddleware(app, limits=Limits(drain_bytes=2, drain_timeout=60.0))
    async with Exchange(bridged) as exchange:
        await exchange.send_chunk(b"a")
        await received.wait()
        await exchange.send_chunk(b"bc")
        await drained.wait()
        await exchange.wait_closed()


async def test_a_shutdown_drains_for_less_time(pool: WorkerPool) -> None:
    """A server gives what runs a second or two in the end; the client may send nothing more."""
    app = handler(Reads(), pool=pool, limits=Limits(shutdown_timeout=0.0, drain_timeout=60.0))
    with lifespan() as shutdown:
        async with Exchange(app) as exchange:
            await exchange.send_chunk(b"a")
            shutdown.hear()
    assert exchange.sent == SHUT_DOWN_503
