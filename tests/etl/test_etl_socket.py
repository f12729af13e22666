"""The WebSocket side: frames in, frames out."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import anyio
import pytest
from asgi_lifespan import LifespanManager

from asgi_bridge.etl import ETLServer
from asgi_bridge.etl.answers import Answer
from asgi_bridge.etl.asgi import ASGIApp, Message
from asgi_bridge.etl.testing import FakeStage, FakeTarget
from asgi_bridge.etl.websocket import frame_for

ACCEPT = {"type": "websocket.accept"}
CLOSE = {"type": "websocket.close", "code": 1000}
CONNECT = {"type": "websocket.connect"}
LIMIT = 10.0

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ["asyncio"]),
]


class Upper(ETLServer):
    def transform(self, data: bytes, path: str, etl_args: str) -> bytes:
        if etl_args == "fail":
            raise ValueError("boom")
        return data.upper()


class Stream(ETLServer):
    def transform_stream(self, reader: IO[bytes], path: str, etl_args: str) -> Iterable[bytes]:
        return iter(())


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTarget]:
    with FakeTarget() as target:
        monkeypatch.setenv("AIS_TARGET_URL", target.url)
        monkeypatch.setenv("AIS_DIRECT_PUT_RETRIES", "0")
        yield target


def frame(content: bytes) -> Message:
    return {"type": "websocket.receive", "bytes": content}


def control(**fields: str) -> Message:
    return frame(json.dumps(fields).encode())


def text(content: str) -> Message:
    return {"type": "websocket.send", "text": content}


def binary(content: bytes) -> Message:
    return {"type": "websocket.send", "bytes": content}


async def session(
    app: ASGIApp, frames: list[Message], answers: int, *, path: str = "/ws"
) -> list[Message]:
    """All that is sent; the peer leaves after so many answers, or when it is told to."""
    left, sent = [CONNECT, *frames], []
    told = anyio.Event()

    async def receive() -> Message:
        if left:
            return left.pop(0)
        await told.wait()
        return {"type": "websocket.disconnect", "code": 1000}

    async def send(message: Message) -> None:
        sent.append(message)
        if len(sent) == answers + 1:
            told.set()

    with anyio.fail_after(LIMIT):
        await app({"type": "websocket", "path": path, "headers": []}, receive, send)
    return sent


async def test_objects(target: FakeTarget, tmp_path: Path) -> None:
    file = tmp_path / "object"
    file.write_bytes(b"abc")
    frames = [
        control(path="o"),
        frame(b"ab"),
        control(path="o", fqn=str(file)),
        control(path="o", fqn=str(tmp_path / "missing")),
        control(etl_args="fail"),
        frame(b"x"),
        control(pipeline="a,,b"),
        frame(b"x"),
        frame(b"{}"),
        {"type": "websocket.receive", "text": "typed"},
    ]
    sent = await session(Upper().app, frames, 6)
    missing = f"Error processing object 'o': file not found at '{tmp_path}/missing'."
    assert sent == [
        ACCEPT,
        binary(b"AB"),
        binary(b"ABC"),
        text(f"Transform error: {missing}"),
        text("Transform error: boom"),
        text("Invalid pipeline header: Pipeline header contains empty entry"),
        binary(b"TYPED"),
    ]


async def test_deliveries(target: FakeTarget, caplog: pytest.LogCaptureFixture) -> None:
    destination = target.destination("ais/@#/d/o")
    app: Any = Upper().app
    with FakeStage(lambda body: body[::-1]) as stage:
        frames = [
            control(pipeline=destination),
            frame(b"abc"),
            control(pipeline=stage.url),
            frame(b"abc"),
            control(pipeline="http://10.1.2.3:1/x"),
            frame(b"abc"),
            control(pipeline="http://127.0.0.1:1/x"),
            frame(b"abc"),
        ]
        async with LifespanManager(app):
            sent = await session(app, frames, 4)
    assert sent[1:] == [text("3"), binary(b"CBA"), text("0"), text("0")]
    assert "403 'http://10.1.2.3:1/x' is on no host" in caplog.text
    assert target.stored["ais/@#/d/o"] == b"ABC"


async def test_a_delivery_that_cannot_be_made(
    target: FakeTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that cannot be made is no failure of the connection to the peer."""
    monkeypatch.setenv("AIS_CLIENT_CA", "/nowhere/ca.pem")
    frames = [control(pipeline="http://127.0.0.1:1/x"), frame(b"abc")]
    assert await session(Upper().app, frames, 1) == [ACCEPT, text("0")]


@pytest.mark.parametrize(
    "bad",
    [{"type": "websocket.receive", "text": "{}"}, frame(b"{"), frame(b"[]")],
    ids=["text", "no JSON", "no object"],
)
async def test_what_is_no_control_message_ends_the_session(
    target: FakeTarget, bad: Message
) -> None:
    assert await session(Upper().app, [bad], 1) == [ACCEPT, CLOSE]


async def test_other_sockets(target: FakeTarget) -> None:
    assert await session(Stream().app, [], 1) == [ACCEPT, CLOSE]
    assert await session(Upper().app, [], 1, path="/other") == [CLOSE]


async def test_a_send_that_fails_ends_the_session(target: FakeTarget) -> None:
    messages = [CONNECT, control(), frame(b"x")]

    async def receive() -> Message:
        if messages:
            return messages.pop(0)
        await anyio.sleep_forever()
        raise AssertionError("it is cancelled")

    async def send(message: Message) -> None:
        if message != ACCEPT:
            raise OSError("gone")

    app: Any = Upper().app
    with anyio.fail_after(LIMIT), pytest.raises(ExceptionGroup) as caught:
        await app({"type": "websocket", "path": "/ws", "headers": []}, receive, send)
    assert [str(error) for error in caught.value.exceptions] == ["gone"]


async def test_frames_for_answers(anyio_backend: str) -> None:
    answers = [
        Answer(204, b"", {"ais-direct-put-length": "3"}),
        Answer(204),
        Answer(200, b"a"),
        Answer(200, b""),
        Answer(507, b"full"),
    ]
    frames = [frame_for(answer) for answer in answers]
    assert frames == [text("3"), text("0"), binary(b"a"), text("0"), text("0")]
