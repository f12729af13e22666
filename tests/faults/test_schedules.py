# Random schedules, and an oracle that knows the right answer to each.
#
# Rule 1: the function notes what it was about to hand over before it does, so what was delivered
#         must be a beginning of that, however the exchange ended.
# Rule 2: a clean end is owed to a function that returned with nothing gone wrong, and is never
#         given to another; a failure before the first byte may be a status instead.
# Rule 3: after each schedule everything that it took is given back.
"""Random schedules of chunks, stalls, cuts, reads, writes and raises, in memory."""

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import StreamingResponse
from starlette.routing import Route

from asgi_bridge import (
    BodyReader,
    BridgeMiddleware,
    Limits,
    Request,
    Response,
    WorkerPool,
    handler,
    open_body,
)
from asgi_bridge.protocol.watermarks import Watermarks
from asgi_bridge.testing import AppState, Exchange
from asgi_bridge.types import ASGIApp, Receive, Scope, Send

from ..exchange.helpers import tasks_living

pytestmark = pytest.mark.anyio

# So small that a few chunks fill every buffer on the way.
LIMITS: Final = Limits(
    prefetch_bytes=64,
    request=Watermarks(high=256, low=64),
    response=Watermarks(high=256, low=64),
    message_bytes=100,
    drain_timeout=0.5,
)
# A thread of a framework's own may have to wait for it when its task is cancelled.
SYNC_LIMITS: Final = replace(LIMITS, read_timeout=0.2)
WAIT: Final = 10.0  # seconds that any exchange may take


class OnPurpose(Exception):
    """What the functions raise here."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a side does, with a size in bytes where it has one."""

    name: str
    size: int = 0


@dataclass(slots=True)
class Account:
    """What the function has done.

    Attributes:
        answer: what it has handed over, or was about to.
        read: what it has read.
        returned: whether it has come to its end.
    """

    answer: bytearray = field(default_factory=bytearray)
    read: bytearray = field(default_factory=bytearray)
    returned: bool = False


sizes = st.sampled_from([1, 7, 99, 100, 101, 300, 1000])
works = st.lists(
    st.one_of(
        st.builds(Step, st.sampled_from(["read", "read1", "readline", "peek", "write"]), sizes),
        st.builds(Step, st.just("empty")),
    ),
    max_size=6,
)
endings = st.sampled_from(["copy", "copy", "return", "raise", "close"])
deeds = st.lists(
    st.one_of(
        st.builds(Step, st.just("chunk"), sizes),
        st.builds(Step, st.sampled_from(["stall", "resume", "settle", "empty"])),
        st.builds(Step, st.just("resume"), st.integers(1, 3)),
    ),
    max_size=10,
)
farewells = st.sampled_from(
    ["end", "end", "end", "disconnect", "cancel", "fail_send", "fail_receive"]
)
schedules = given(work=works, ending=endings, deeds=deeds, farewell=farewells)
# `make soak` has many more of them
EXAMPLES: Final = int(os.environ.get("SCHEDULES", "150"))
thoroughly = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


def body_of(deeds: list[Step]) -> Iterator[bytes]:
    """The chunks of a client; no byte is like its neighbours."""
    position = 0
    for deed in deeds:
        if deed.name == "chunk":
            yield bytes((position + each) % 251 for each in range(deed.size))
            position += deed.size


def answering(body: BodyReader, work: list[Step], ending: str, account: Account) -> Iterator[bytes]:
    """Do the work, with a byte of the answer for each byte read, and some more."""

    def noted(chunk: bytes) -> bytes:
        account.answer += chunk
        return chunk

    for step in work:
        match step.name:
            case "read" | "read1" | "readline":
                chunk = getattr(body, step.name)(step.size)
                account.read += chunk
                yield noted(chunk)
            case "peek":
                body.peek(step.size)
            case "write":
                yield noted(b"w" * step.size)
            case "empty":
                yield b""
    if ending == "raise":
        raise OnPurpose
    if ending == "close":
        body.close()
    if ending == "copy":
        for chunk in body.chunks():
            account.read += chunk
            yield noted(chunk)
    account.returned = True


async def play(app: ASGIApp, deeds: list[Step], farewell: str) -> Exchange:
    """Be the client and the server of a schedule, to its end."""
    exchange = Exchange(app, timeout=WAIT)
    async with exchange:
        chunks = body_of(deeds)
        for deed in deeds:
            match deed.name:
                case "chunk":
                    await exchange.send_chunk(next(chunks))
                case "empty":
                    await exchange.send_chunk(b"")
                case "stall":
                    exchange.stall_send()
                case "resume":
                    exchange.resume_send(deed.size or None)
                case "settle":
                    await anyio.sleep(0.001)  # let threads come to where they wait
        match farewell:
            case "end":
                await exchange.end_body()
            case "disconnect":
                exchange.disconnect()
            case "cancel":
                exchange.cancel()
            case "fail_send":
                exchange.fail_send(BrokenPipeError("gone"))
                await exchange.end_body()
            case "fail_receive":
                exchange.fail_receive(OnPurpose())
        exchange.resume_send()
        await exchange.wait_closed()
    return exchange


def judge(
    exchange: Exchange, account: Account, ending: str, deeds: list[Step], farewell: str
) -> None:
    """Hold what came of a schedule against what is right."""
    right = b"".join(body_of(deeds))
    assert right.startswith(account.read)
    if account.returned and ending == "copy":  # it has met the end, and that of nothing else
        assert farewell in ("end", "fail_send")
    if exchange.status is not None and exchange.status >= 400:
        assert not account.returned or farewell != "end"
        return
    assert account.answer.startswith(exchange.body)
    if exchange.complete:
        assert account.returned
        assert exchange.body == account.answer
    if farewell == "end" and account.returned:
        assert exchange.complete
        assert exchange.outcome.state is AppState.RETURNED


def files_open() -> int:
    return len(os.listdir("/proc/self/fd"))


def unlinked_open() -> list[str]:
    links = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{fd}"))
        except FileNotFoundError:  # the listing's own
            continue
    return [each for each in links if each.endswith(" (deleted)") and "memfd" not in each]


class Base:
    """What there was before a schedule, and what there may be after it."""

    def __init__(self) -> None:
        self._tasks = tasks_living()
        self._files = files_open()
        self._unlinked = unlinked_open()

    async def regained(self, at_rest: Callable[[], bool]) -> None:
        with anyio.fail_after(WAIT):
            while not (at_rest() and tasks_living() <= self._tasks):  # noqa: ASYNC110  # threads, too
                await anyio.sleep(0.001)
        assert files_open() <= self._files
        assert unlinked_open() == self._unlinked


POOL: Final = WorkerPool(size=4, name="schedules")


@thoroughly
@schedules
async def test_handler(work: list[Step], ending: str, deeds: list[Step], farewell: str) -> None:
    account = Account()

    @handler(limits=LIMITS, pool=POOL)
    def app(request: Request, response: Response) -> Iterator[bytes]:
        return answering(request.body, work, ending, account)

    base = Base()
    exchange = await play(app, deeds, farewell)
    judge(exchange, account, ending, deeds, farewell)
    await base.regained(lambda: POOL.statistics().busy == 0)
    assert exchange.receives_pending == exchange.sends_pending == 0
    assert sum(thread.name.startswith("schedules") for thread in threading.enumerate()) <= POOL.size


@thoroughly
@schedules
async def test_async_application(
    work: list[Step], ending: str, deeds: list[Step], farewell: str
) -> None:
    account = Account()

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        """Echoes as many messages as there are steps, or all, or breaks."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        more, steps = True, len(work)
        while more and (ending == "copy" or steps > 0):
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionResetError("told to stop")
            chunk, more, steps = (
                message.get("body", b""),
                message.get("more_body", False),
                steps - 1,
            )
            account.read += chunk
            account.answer += chunk
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if ending == "raise":
            raise OnPurpose
        account.returned = True
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    base = Base()
    exchange = await play(BridgeMiddleware(inner, limits=LIMITS), deeds, farewell)
    judge(exchange, account, ending, deeds, farewell)
    await base.regained(lambda: True)
    assert exchange.receives_pending == exchange.sends_pending == 0


# Starlette leaves its generator to the garbage collector, which trio's hooks report.
@pytest.mark.filterwarnings("ignore:Async generator 'starlette:ResourceWarning")
@thoroughly
@schedules
async def test_sync_endpoint(
    work: list[Step], ending: str, deeds: list[Step], farewell: str
) -> None:
    account = Account()

    def endpoint(request: StarletteRequest) -> StreamingResponse:
        return StreamingResponse(answering(open_body(request), work, ending, account))

    inner = Starlette(routes=[Route("/", endpoint, methods=["PUT"])])
    base = Base()
    exchange = await play(BridgeMiddleware(inner, limits=SYNC_LIMITS), deeds, farewell)
    judge(exchange, account, ending, deeds, farewell)
    await base.regained(lambda: True)
