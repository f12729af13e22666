"""Retries, and what goes into a request's body, step by step."""

import ipaddress
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from aiohttp.abc import AbstractStreamWriter

from asgi_bridge import ClientDisconnected
from asgi_bridge.etl.answers import Answer, Relay, length_header
from asgi_bridge.etl.asgi import Message, Scope, header_of
from asgi_bridge.etl.client import Client
from asgi_bridge.etl.delivery import Courier, Hop, Run, deliver, failure_in, hop_of, vouched_for
from asgi_bridge.etl.errors import HopBroken, Refused
from asgi_bridge.etl.pipeline import Pipeline
from asgi_bridge.etl.settings import Settings
from asgi_bridge.etl.sinks import Sink, Upload, UploadPayload, WholePayload
from asgi_bridge.etl.sources import NoBody
from asgi_bridge.testing import body, start
from asgi_bridge.testing import request as body_message

REASON = {"ais-etl-retry-reason": "direct-put-transient"}
TRANSIENT = Answer(503, b"later", REASON)
STORED = Answer(204)
BROKEN = HopBroken("reset")

on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were asked for; none is made."""
    asked: list[float] = []

    async def sleep(delay: float) -> None:
        asked.append(delay)

    monkeypatch.setattr("asgi_bridge.etl.delivery.anyio.sleep", sleep)
    return asked


def attempts(*outcomes: Answer | Exception) -> Callable[[], Awaitable[Answer]]:
    left = list(outcomes)

    async def attempt() -> Answer:
        outcome = left.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return attempt


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("outcomes", "replayable", "status", "paused"),
    [
        ([STORED], True, 204, []),
        ([BROKEN, STORED], True, 204, [1]),
        ([TRANSIENT, BROKEN, STORED], True, 204, [1, 2]),
        ([Answer(503, b"busy")], True, 503, []),
        ([Answer(507, b"full")], True, 507, []),
        ([BROKEN] * 8, True, 502, [1, 2, 4, 8, 16, 30, 30]),
        ([TRANSIENT] * 8, True, 502, [1, 2, 4, 8, 16, 30, 30]),
        ([BROKEN], False, 503, []),
        ([TRANSIENT], False, 503, []),
    ],
)
async def test_retries(
    pauses: list[float],
    outcomes: list[Answer | Exception],
    replayable: bool,
    status: int,
    paused: list[float],
) -> None:
    told: list[str] = []
    answer = await deliver(attempts(*outcomes), 7, replayable=replayable, retrying=told.append)
    assert (answer.status, pauses) == (status, paused)
    assert len(told) == len(paused)
    assert answer.transient is (status == 503 and not replayable)


@pytest.mark.anyio
async def test_what_is_said_in_the_end(pauses: list[float]) -> None:
    told: list[str] = []
    tried = await deliver(attempts(BROKEN, TRANSIENT), 1, replayable=True, retrying=told.append)
    assert json.loads(tried.body or b"") == {"detail": "Direct put failed after retries: later"}
    bailed = await deliver(attempts(BROKEN), 3, replayable=False, retrying=told.append)
    assert json.loads(bailed.body or b"") == {"detail": "Direct put bailed (one-shot body): reset"}
    assert told == ["delivery 1 of 2 failed, again in 1 s: reset"]


def test_length_header() -> None:
    assert [length_header(size) for size in (0, 7)] == [{}, {"ais-direct-put-length": "7"}]


def test_header_of() -> None:
    scope: Scope = {"headers": [(b"a", b"1"), (b"b", b"2"), (b"b", b"3")]}
    assert [header_of(scope, name) for name in (b"b", b"c")] == ["2", ""]


# Sinks.


class Writer(AbstractStreamWriter):
    """A connection to write to, which breaks after so many writes."""

    def __init__(self, writes: int = 100) -> None:
        self.written: list[bytes] = []
        self._left = writes

    async def write(self, chunk: bytes | bytearray | memoryview, **_: object) -> None:
        if not self._left:
            raise ConnectionResetError("Cannot write to closing transport")
        self._left -= 1
        self.written.append(bytes(chunk))

    async def write_eof(self, chunk: bytes = b"") -> None:
        raise AssertionError("it is aiohttp's to call")

    async def drain(self) -> None:
        raise AssertionError("it is aiohttp's to call")

    def enable_compression(self, *_: object, **__: object) -> None:
        raise AssertionError("nothing is compressed")

    def enable_chunking(self) -> None:
        raise AssertionError("it is aiohttp's to call")

    async def write_headers(self, *_: object) -> None:
        raise AssertionError("it is aiohttp's to call")

    def send_headers(self) -> None:
        raise AssertionError("it is aiohttp's to call")


@on_asyncio
@pytest.mark.anyio
async def test_an_upload_is_written_and_ended() -> None:
    upload, writer = Upload(), Writer()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(UploadPayload(upload).write, writer)
        await upload.send(start(200, [(b"content-length", b"3")]))
        await upload.send(body(b"ab", more_body=True))
        await upload.send(body(b"c", more_body=True))
        await upload.send(body(b""))
    assert (writer.written, upload.sent, upload.complete) == ([b"ab", b"c"], 3, True)
    assert UploadPayload(upload).size == 3


@on_asyncio
@pytest.mark.anyio
async def test_an_upload_without_an_end_is_cut() -> None:
    upload = Upload()
    upload.end(None)
    with pytest.raises(ConnectionAbortedError):
        await upload.write_to(Writer())
    assert failure_in(upload) is None


@on_asyncio
@pytest.mark.anyio
async def test_a_broken_connection_ends_the_exchange_quietly() -> None:
    upload = Upload()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(upload.write_to, Writer(0))
        await upload.send(start(200))
        with pytest.raises(ClientDisconnected):
            await upload.send(body(b"ab", more_body=True))
        tasks.cancel_scope.cancel()


@on_asyncio
@pytest.mark.anyio
async def test_a_refusal_is_kept() -> None:
    upload = Upload()
    messages: list[Message] = [start(500), body(b"a", more_body=True), body(b"b")]
    for message in messages:
        await upload.send(message)
    assert upload.decided.is_set()
    assert (upload.refused, upload.content) == (True, [b"a", b"b"])


@pytest.mark.parametrize(
    ("failure", "status"), [(ValueError("x"), 500), (ClientDisconnected(), 503)]
)
@on_asyncio
@pytest.mark.anyio
async def test_failures_in_an_upload(failure: Exception, status: int) -> None:
    upload = Upload()
    upload.end(failure)
    answer = failure_in(upload)
    assert answer is not None
    assert answer.status == status


@pytest.mark.anyio
async def test_an_object_in_memory_is_written_in_slices() -> None:
    writer = Writer()
    payload = WholePayload(memoryview(b"abcde"), 2)
    await payload.write(writer)
    assert (payload.size, writer.written) == (5, [b"ab", b"cd", b"e"])
    await WholePayload(b"f", 2).write(writer)
    assert writer.written[-1] == b"f"


def test_no_payload_is_text() -> None:
    for payload in (WholePayload(b"a", 1), UploadPayload(Upload())):
        with pytest.raises(TypeError):
            payload.decode()


@on_asyncio
@pytest.mark.anyio
async def test_a_transform_that_is_ended_is_not_delivered() -> None:
    async def silent(sink: Sink) -> None:
        pass

    @asynccontextmanager
    async def source() -> AsyncIterator[Run]:
        yield silent

    settings = Settings(target_url="http://127.0.0.1:9/p")
    courier = Courier(Client(settings), Hop("http://127.0.0.1:9/x", {}, True, "x", False), Relay(0))
    answer = await courier.put_stream(source())
    assert (answer.status, answer.transient) == (503, False)


@pytest.mark.parametrize(
    ("node", "addresses", "trusted"),
    [
        ("http://127.0.0.1:1/x", (), True),
        ("http://node:1/x", ("127.0.0.2",), True),
        ("http://node:1/x", ("10.1.2.3",), None),
        ("http://node:1", ("10.1.2.3",), False),  # a stage needs no secret, and gets no token
    ],
)
@pytest.mark.anyio
async def test_who_vouches_for_a_hop(
    node: str, addresses: tuple[str, ...], trusted: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = tuple(map(ipaddress.ip_address, addresses))
    monkeypatch.setattr("asgi_bridge.etl.trust.look_up", lambda name: found)
    settings = Settings(target_url="http://127.0.0.1:9/p")
    hop = hop_of(Pipeline(node, ""), settings, "o", "")
    assert hop is not None
    if trusted is None:
        with pytest.raises(Refused, match="AIS_ETL_TRUSTED_HOSTS"):
            await vouched_for(hop, settings)
    else:
        assert (await vouched_for(hop, settings)).trusted is trusted


@pytest.mark.anyio
async def test_no_body_comes_once() -> None:
    receive = NoBody()
    assert await receive() == body_message(b"")
    with anyio.move_on_after(0.01) as scope:
        await receive()
    assert scope.cancelled_caught
