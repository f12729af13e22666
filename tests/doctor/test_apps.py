"""The doctor's applications in memory: through the clients that tests use, and step by step."""

import importlib.util
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx2
import pytest
from asgi_lifespan import LifespanManager
from asgiref.testing import ApplicationCommunicator
from starlette.testclient import TestClient

from asgi_bridge.doctor.apps import bare, bridged, notes, passing
from asgi_bridge.doctor.apps.frameworks import of_frameworks
from asgi_bridge.doctor.apps.sending import BIG, SMALL, TICKS
from asgi_bridge.testing import DISCONNECT, Exchange, ScopeOptions, body, request, scope_for, start
from asgi_bridge.types import ASGIApp, Message

BODY = bytes(range(256)) * 1000
ECHOES = ("echo", "listening_echo", "cancelling", "polling", "two_receivers", "blocking_echo")

Communicator: Any = ApplicationCommunicator  # asgiref has no types for it

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # httpx2 and asgiref choose for us


async def pieces() -> AsyncIterator[bytes]:
    for position in range(0, len(BODY), 50_000):
        yield BODY[position : position + 50_000]


@pytest.mark.parametrize("name", [*ECHOES, "starlette_echo"])
async def test_body_comes_back_through_httpx(name: str) -> None:
    """Its transport loses the upload of who gives up a receive(), unless we stand in between."""
    async with LifespanManager(bridged) as manager:
        transport = httpx2.ASGITransport(manager.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            response = await client.put(f"/{name}", content=pieces())
    assert (response.status_code, response.content == BODY) == (200, True)


@pytest.mark.parametrize("name", [*ECHOES, "starlette_echo"])
def test_body_comes_back_through_test_client(name: str) -> None:
    with TestClient(bridged) as client:
        assert client.put(f"/{name}", content=BODY).content == BODY
        assert client.get("/lifespan").text.endswith("started state")


def test_websocket_through_test_client() -> None:
    with TestClient(bridged) as client, client.websocket_connect("/") as socket:
        socket.send_text("up")
        assert socket.receive_text() == "UP"


@pytest.mark.parametrize("name", ["echo", "listening_echo", "blocking_echo"])
async def test_lock_step_through_communicator(name: str) -> None:
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "method": "PUT",
        "path": f"/{name}",
        "query_string": b"",
        "headers": [],
    }
    communicator = Communicator(bridged, scope)
    for chunk in (b"aa", b"bb"):
        await communicator.send_input(request(chunk, more_body=True))
        message = await communicator.receive_output(5)
        if message["type"] == "http.response.start":
            message = await communicator.receive_output(5)
        assert message["body"] == chunk
    await communicator.send_input(request(b""))
    message = await communicator.receive_output(5)
    assert message.get("more_body", False) is False
    await communicator.wait(5)


async def test_listener_steals_without_the_bridge() -> None:
    options = ScopeOptions(path="/listening_echo", spec_version="2.1")
    async with Exchange(bare, scope=scope_for(**options), max_receives=2) as exchange:
        for chunk in (b"aa", b"bb", b"cc"):
            await exchange.send_chunk(chunk)
            await exchange.until_receiving()
        exchange.disconnect()
    assert exchange.body != b"aabbcc"


async def test_listener_ends_with_the_answer() -> None:
    """The listener asks first and gets nothing; the echo, which asks second, gets it all."""
    sent: list[Message] = []
    calls = 0

    async def receive() -> Message:
        nonlocal calls
        calls += 1
        if calls == 1:
            await anyio.sleep_forever()
        return request(b"all")

    async def send(message: Message) -> None:
        sent.append(message)

    with anyio.fail_after(5):
        await bare(scope_for(path="/listening_echo", spec_version="2.1"), receive, send)
    assert sent == [start(200), body(b"all", more_body=True), body(b"")]


async def test_apps_that_find_the_client_gone() -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        assert message == start(200)

    for path in ("/polling", "/echo"):
        await bare(scope_for(path=path), receive, send)


async def test_a_note_is_written_once() -> None:
    scope = scope_for(query_string=b"key=once")
    notes.write_note(scope, "first")
    notes.write_note(scope, "second")
    assert await noted("once") == b"first"


async def test_ticking_to_the_end() -> None:
    exchange = Exchange(bridged, method="GET", path="/ticking", query_string=b"key=all")
    await exchange.run()
    assert exchange.body == b"tick" * TICKS


async def answer(app: ASGIApp, path: str, *messages: Any, method: str = "GET") -> Exchange:
    exchange = Exchange(app, method=method, path=path, receive=[*(messages or [request(b"")])])
    await exchange.run()
    return exchange


@pytest.mark.parametrize(
    ("path", "status", "due"),
    [
        ("/hello", 200, b"hello"),
        ("/hello_undeclared", 200, b"hello"),
        ("/nothing", 204, b""),
        ("/three", 200, b"onetwothree"),
        ("/small", 200, b"".join(SMALL)),
        ("/big", 200, BIG),
        ("/refuse", 403, b"refused"),
        ("/refuse_late", 413, b"too large"),
        ("/blocking_refuse_late", 413, None),
        ("/answer_then_read", 200, b"ready"),
        ("/no_such", 404, b"no such application"),
    ],
)
async def test_answers(path: str, status: int, due: bytes | None) -> None:
    exchange = await answer(bridged, path)
    assert exchange.status == status
    assert due is None or exchange.body == due


@pytest.mark.parametrize("app", [bare, bridged])
@pytest.mark.parametrize(
    "path",
    ["/raising", "/raising_started", "/breaking", "/breaking_declared", "/blocking_breaking"],
)
async def test_failures(path: str, app: ASGIApp) -> None:
    with pytest.raises(RuntimeError, match="failed on purpose"):
        await answer(app, path)


async def test_an_answer_without_an_end() -> None:
    for app in (bare, bridged):
        assert (await answer(app, "/leaving")).body == b"first"


@pytest.mark.parametrize(("path", "count"), [("/short", 5), ("/long", 15)])
async def test_bodies_of_another_length_than_declared(path: str, count: int) -> None:
    assert len((await answer(bare, path)).body or b"") == count


async def test_version_and_turns() -> None:
    assert (await answer(bridged, "/version")).body == b"2.4"
    assert ((await answer(bare, "/beside")).body or b"").startswith(b"." * 500)


async def noted(key: str) -> bytes | None:
    exchange = Exchange(
        bare, path="/note", query_string=f"key={key}".encode(), receive=[request(b"")]
    )
    await exchange.run()
    return exchange.body


@pytest.mark.parametrize("name", ["ticking", "listening_ticking"])
@pytest.mark.parametrize(
    ("app", "note"),
    [(bare, b"40 sends, and nothing raised"), (bridged, b"send raised an OSError")],
    ids=["bare", "bridged"],
)
async def test_notes_of_a_disconnect(app: ASGIApp, name: str, note: bytes) -> None:
    key = f"{name}-{note[:4].decode()}"
    query = f"key={key}".encode()
    async with Exchange(app, path=f"/{name}", query_string=query) as exchange:
        await exchange.send_chunk(b"some")
        await exchange.expect_start()
        exchange.disconnect()
    if app is bare and name == "listening_ticking":
        note = b"told of the disconnect, and its send did not raise"
    assert await noted(key) == note


async def test_note_of_an_upload() -> None:
    exchange = Exchange(
        bridged,
        path="/note_upload",
        query_string=b"key=upload",
        receive=[request(b"ab", more_body=True), request(b"c")],
    )
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(exchange.run)
        assert await noted("upload") == b"3 bytes, the end"


async def test_nobody_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "PATIENCE", 0.01)
    assert await noted("nobody's") == b"nothing noted"


async def test_poll_that_finds_the_disconnect() -> None:
    assert await Exchange(bridged, path="/polling", receive=[DISCONNECT]).run() == []


async def test_lifespan_without_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passing, "_phases", [])
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "lifespan"}

    async def send(message: Message) -> None:
        sent.append(message)

    await bare({"type": "lifespan"}, receive, send)
    assert [message["type"] for message in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


def test_without_starlette(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert of_frameworks() == {}
