"""Every fault at every stage of a handler's exchange: one written outcome each."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

import pytest

from asgi_bridge import (
    ClientDisconnected,
    Limits,
    Request,
    Response,
    ServerShutdown,
    WorkerPool,
    handler,
)
from asgi_bridge.crossing.here import current_portal
from asgi_bridge.errors import ExchangeOver
from asgi_bridge.testing import AppState, Exchange, body, start
from asgi_bridge.types import Message

from .helpers import SHUT_DOWN_503, Step, cancelled_unheard, ending, lines, settled, tasks_living

pytestmark = pytest.mark.anyio


class Fault(Enum):
    HANDLER_RAISES = auto()
    CLIENT_LEAVES = auto()
    TASK_CANCELLED = auto()
    SEND_TELLS_OF_DISCONNECT = auto()  # an OSError, as ASGI HTTP 2.4 has it
    SEND_RAISES = auto()
    RECEIVE_RAISES = auto()
    SHUTDOWN = auto()  # and the exchange's time is over


class Stage(Enum):
    BEFORE_READING = auto()
    IN_THE_BODY = auto()  # parked in a read
    START_HELD = auto()  # the body is read, nothing is written
    STREAMING = auto()
    AFTER_COMPLETION = auto()  # for the handler: after its last byte; for others: after the last


class HandlerFault(Exception):
    """What the handler raises."""


class ServerFault(Exception):
    """What the server's callables raise."""


class Staged:
    """A handler that waits at one stage, and again before its second chunk.

    Attributes:
        saw: what was raised inside it.
        thread: where it ran.
        closed_in: where its generator ended.
    """

    def __init__(self, fault: Fault, stage: Stage) -> None:
        self._fault = fault
        self._stage = stage
        self.saw: type[BaseException] | None = None
        self.thread: int | None = None
        self.closed_in: int | None = None
        self.reached = Step()
        self.go = Step()
        self.half_way = Step()  # it has yielded its first chunk, or has ended
        self.go_on = Step()

    def __call__(self, request: Request, response: Response) -> Iterator[bytes]:
        self.thread = threading.get_ident()
        try:
            yield from self._chunks(request, response)
        except BaseException as error:
            self.saw = type(error)
            raise
        finally:
            self.closed_in = threading.get_ident()
            self.half_way.take()

    def _chunks(self, request: Request, response: Response) -> Iterator[bytes]:
        self._at(Stage.BEFORE_READING)
        request.body.read(2)
        self._at(Stage.IN_THE_BODY)
        request.body.read()
        response.status = 201
        self._at(Stage.START_HELD)
        yield b"one"
        self.half_way.take()
        self._at(Stage.STREAMING)
        self.go_on.wait()
        yield b"two"
        self._at(Stage.AFTER_COMPLETION)

    def _at(self, stage: Stage) -> None:
        if stage is not self._stage:
            return
        self.reached.take()
        if self._fault is Fault.HANDLER_RAISES:
            raise HandlerFault
        if stage not in (Stage.IN_THE_BODY, Stage.AFTER_COMPLETION):
            self.go.wait()


HEAD = start(201)
ONE = body(b"one", more_body=True)
WHOLE = [HEAD, ONE, body(b"two", more_body=True), body()]
ERROR_500 = [
    start(500, [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"21")]),
    body(b"Internal Server Error"),
]


@dataclass(frozen=True, kw_only=True)
class Expected:
    """How an exchange ends.

    Attributes:
        state: how the app ended.
        raised: what came out of it.
        sent: all its messages.
        saw: what the handler met.
        logged: lines in the log.
        cut_receives: calls of receive() cancelled though the response was not complete; only
            where it never will be.
    """

    state: AppState = AppState.RETURNED
    raised: type[BaseException] | None = None
    sent: list[Message]
    saw: type[BaseException] | None
    logged: int = 0
    cut_receives: int = 0


COMPLETE = Expected(sent=WHOLE, saw=None)
REFUSED = Expected(state=AppState.RAISED, raised=HandlerFault, sent=ERROR_500, saw=HandlerFault)
LEFT_WHILE_READING = Expected(sent=[], saw=ClientDisconnected, logged=1)
CANCELLED_WHILE_READING = Expected(state=AppState.CANCELLED, sent=[], saw=ExchangeOver)
SEND_TOLD = Expected(sent=[], saw=GeneratorExit, logged=1)
SEND_FAILED = Expected(state=AppState.RAISED, raised=ServerFault, sent=[], saw=GeneratorExit)
RECEIVE_FAILED = Expected(
    state=AppState.RAISED, raised=ServerFault, sent=ERROR_500, saw=ServerFault
)
SHUT_DOWN_WHILE_READING = Expected(sent=SHUT_DOWN_503, saw=ServerShutdown, logged=1)

EXPECTED: dict[tuple[Fault, Stage], Expected] = {
    (Fault.HANDLER_RAISES, Stage.BEFORE_READING): REFUSED,
    (Fault.HANDLER_RAISES, Stage.IN_THE_BODY): REFUSED,
    (Fault.HANDLER_RAISES, Stage.START_HELD): REFUSED,
    (Fault.HANDLER_RAISES, Stage.STREAMING): Expected(
        state=AppState.RAISED,
        raised=HandlerFault,
        sent=[HEAD, ONE],
        saw=HandlerFault,
    ),
    (Fault.HANDLER_RAISES, Stage.AFTER_COMPLETION): Expected(
        state=AppState.RAISED,
        raised=HandlerFault,
        sent=WHOLE[:-1],
        saw=HandlerFault,
    ),
    (Fault.CLIENT_LEAVES, Stage.BEFORE_READING): LEFT_WHILE_READING,
    (Fault.CLIENT_LEAVES, Stage.IN_THE_BODY): LEFT_WHILE_READING,
    (Fault.CLIENT_LEAVES, Stage.START_HELD): Expected(sent=[], saw=GeneratorExit, logged=1),
    (Fault.CLIENT_LEAVES, Stage.STREAMING): Expected(sent=[HEAD, ONE], saw=GeneratorExit, logged=1),
    (Fault.CLIENT_LEAVES, Stage.AFTER_COMPLETION): COMPLETE,
    (Fault.TASK_CANCELLED, Stage.BEFORE_READING): CANCELLED_WHILE_READING,
    (Fault.TASK_CANCELLED, Stage.IN_THE_BODY): CANCELLED_WHILE_READING,
    (Fault.TASK_CANCELLED, Stage.START_HELD): Expected(
        state=AppState.CANCELLED, sent=[], saw=GeneratorExit
    ),
    (Fault.TASK_CANCELLED, Stage.STREAMING): Expected(
        state=AppState.CANCELLED, sent=[HEAD, ONE], saw=GeneratorExit
    ),
    (Fault.TASK_CANCELLED, Stage.AFTER_COMPLETION): COMPLETE,
    (Fault.SEND_TELLS_OF_DISCONNECT, Stage.BEFORE_READING): SEND_TOLD,
    (Fault.SEND_TELLS_OF_DISCONNECT, Stage.IN_THE_BODY): SEND_TOLD,
    (Fault.SEND_TELLS_OF_DISCONNECT, Stage.START_HELD): SEND_TOLD,
    (Fault.SEND_TELLS_OF_DISCONNECT, Stage.STREAMING): Expected(
        sent=[HEAD, ONE], saw=None, logged=1
    ),
    (Fault.SEND_TELLS_OF_DISCONNECT, Stage.AFTER_COMPLETION): COMPLETE,
    (Fault.SEND_RAISES, Stage.BEFORE_READING): SEND_FAILED,
    (Fault.SEND_RAISES, Stage.IN_THE_BODY): SEND_FAILED,
    (Fault.SEND_RAISES, Stage.START_HELD): SEND_FAILED,
    (Fault.SEND_RAISES, Stage.STREAMING): Expected(
        state=AppState.RAISED, raised=ServerFault, sent=[HEAD, ONE], saw=None
    ),
    (Fault.SEND_RAISES, Stage.AFTER_COMPLETION): COMPLETE,
    (Fault.RECEIVE_RAISES, Stage.BEFORE_READING): RECEIVE_FAILED,
    (Fault.RECEIVE_RAISES, Stage.IN_THE_BODY): RECEIVE_FAILED,
    # nobody needs receive() any more, but to hear of a disconnect
    (Fault.RECEIVE_RAISES, Stage.START_HELD): COMPLETE,
    (Fault.RECEIVE_RAISES, Stage.STREAMING): COMPLETE,
    (Fault.RECEIVE_RAISES, Stage.AFTER_COMPLETION): COMPLETE,
    (Fault.SHUTDOWN, Stage.BEFORE_READING): SHUT_DOWN_WHILE_READING,
    (Fault.SHUTDOWN, Stage.IN_THE_BODY): SHUT_DOWN_WHILE_READING,
    (Fault.SHUTDOWN, Stage.START_HELD): Expected(sent=SHUT_DOWN_503, saw=GeneratorExit, logged=1),
    (Fault.SHUTDOWN, Stage.STREAMING): Expected(
        state=AppState.RAISED,
        raised=ServerShutdown,
        sent=[HEAD, ONE],
        saw=GeneratorExit,
        logged=1,
    ),
    (Fault.SHUTDOWN, Stage.AFTER_COMPLETION): COMPLETE,
}


def test_every_fault_has_an_outcome_at_every_stage() -> None:
    assert set(EXPECTED) == {(fault, stage) for fault in Fault for stage in Stage}


def inject(fault: Fault, exchange: Exchange) -> None:
    """Bring a fault about, outside of the handler."""
    match fault:
        case Fault.HANDLER_RAISES:
            pass  # it does so itself
        case Fault.CLIENT_LEAVES:
            exchange.disconnect()
            exchange.stall_send()  # else a send may or may not come before the news
        case Fault.TASK_CANCELLED:
            exchange.cancel()
        case Fault.SEND_TELLS_OF_DISCONNECT:
            exchange.fail_send(BrokenPipeError("gone"), after=len(exchange.sent))
        case Fault.SEND_RAISES:
            exchange.fail_send(ServerFault(), after=len(exchange.sent))
        case Fault.RECEIVE_RAISES:
            exchange.fail_receive(ServerFault())
        case Fault.SHUTDOWN:
            current_portal().shutdown.hear()


async def play(fault: Fault, stage: Stage, exchange: Exchange, staged: Staged) -> None:
    """Take an exchange through its stages, with the fault at one of them."""
    after = stage is Stage.AFTER_COMPLETION
    reads = stage in (Stage.BEFORE_READING, Stage.IN_THE_BODY)
    await exchange.send_chunk(b"ab")
    if not reads:
        await exchange.end_body(b"cd")
    if stage is Stage.STREAMING:
        await exchange.until_sent(2)
    if not after:
        await staged.reached.reached()
        await settled()
        inject(fault, exchange)
        if fault is Fault.SHUTDOWN:
            await settled()
    if reads and fault not in (Fault.CLIENT_LEAVES, Fault.TASK_CANCELLED):
        await exchange.end_body(b"cd")
    await settled()
    staged.go.take()
    await staged.half_way.reached()
    await settled()
    staged.go_on.take()
    await exchange.wait_closed()
    if after and fault is not Fault.HANDLER_RAISES:
        inject(fault, exchange)
        await settled()


@pytest.mark.parametrize("stage", Stage, ids=lambda stage: stage.name.lower())
@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
async def test_fault_at_a_stage(
    fault: Fault, stage: Stage, pool: WorkerPool, log: pytest.LogCaptureFixture
) -> None:
    staged = Staged(fault, stage)
    exchange = cancelled_unheard(handler(staged, pool=pool, limits=Limits(shutdown_timeout=0.0)))
    living = tasks_living()
    current_portal().shutdown.open(listen=False)
    async with exchange:
        await play(fault, stage, exchange, staged)
    current_portal().shutdown.close()
    assert pool.statistics().busy == 0
    await settled()
    assert tasks_living() == living
    state, raised = ending(exchange)
    assert EXPECTED[fault, stage] == Expected(
        state=state,
        raised=raised,
        sent=exchange.sent,
        saw=staged.saw,
        logged=len(lines(log)),
        cut_receives=exchange.receive_cancellations,
    )
    assert staged.closed_in == staged.thread
    assert staged.thread not in (None, threading.get_ident())
    assert (exchange.receives_pending, exchange.sends_pending) == (0, 0)
