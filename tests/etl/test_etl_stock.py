"""What transformers know from AIStore's own server, one thing at a time."""

import asyncio
import json
import socket
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import IO, Any

import pytest
from asgi_lifespan import LifespanManager

from asgi_bridge.etl import ETLServer
from asgi_bridge.etl.asgi import ASGIApp, Receive, Scope, Send
from asgi_bridge.etl.outputs import content_type
from asgi_bridge.etl.testing import Answer, FakeStage, FakeTarget, Status, serving
from asgi_bridge.etl.testing.caller import read_answer
from asgi_bridge.testing import DISCONNECT, Exchange
from asgi_bridge.testing import request as request_message

LIMIT = 10.0


class HTTPException(Exception):
    """As FastAPI has it."""

    status_code = 429
    detail = "not now"
    headers = MappingProxyType({"Retry-After": "7", "Content-Length": "1000"})


class Response:
    status_code = 418


class ClientError(Exception):
    """As `requests` has them; what it is about is in `response`."""


class StatusError(ClientError):
    def __init__(self, response: Response | None) -> None:
        super().__init__("418 Client Error")
        self.response = response


FAILURES: dict[str, Exception] = {
    "http": HTTPException(),
    "status": StatusError(Response()),
    "no-status": StatusError(None),
    "network": ClientError("refused"),
}


class Buffered(ETLServer):
    mime = "application/octet-stream"

    def transform(self, data: bytes, path: str, etl_args: str) -> Any:
        if etl_args in FAILURES:
            raise FAILURES[etl_args]
        if etl_args == "wrong":
            return 7
        self.mime = etl_args or self.mime
        return data.upper()

    def get_mime_type(self) -> str:
        return self.mime


class Streaming(ETLServer):
    def transform_stream(self, reader: IO[bytes], path: str, etl_args: str) -> Iterable[Any]:
        if etl_args == "text":
            return "é"
        return self._chunks(reader, etl_args)

    def _chunks(self, reader: IO[bytes], etl_args: str) -> Iterator[Any]:
        if etl_args in FAILURES:
            raise FAILURES[etl_args]
        if etl_args == "wrong":
            yield 7
        yield "é"
        yield reader.read()

    def get_mime_type(self) -> str:
        return "text/csv"


BOTH = pytest.mark.parametrize("kind", [Buffered, Streaming])


@pytest.fixture(autouse=True)
def target(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTarget]:
    with FakeTarget() as target:
        monkeypatch.setenv("AIS_TARGET_URL", target.url)
        monkeypatch.setenv("AIS_DIRECT_PUT_RETRIES", "0")
        yield target


def detail(answer: Answer) -> str:
    return str(json.loads(answer.body)["detail"])


# What a transform returns and raises.


def test_text() -> None:
    with serving(Streaming().app) as etl:
        answer = etl.push("b/o", b"x")
        assert (answer.body, answer.header("content-type")) == (
            "éx".encode(),
            "text/csv; charset=utf-8",
        )
        assert etl.push("b/o", b"x", args="text").body == "é".encode()


@BOTH
def test_a_wrong_type_is_told(kind: type[ETLServer]) -> None:
    with serving(kind().app) as etl:
        answer = etl.push("b/o", b"x", args="wrong")
    assert answer.status == 500
    assert "not int" in detail(answer)


@BOTH
def test_failures_of_libraries(kind: type[ETLServer], monkeypatch: pytest.MonkeyPatch) -> None:
    requests = ModuleType("requests")
    requests.HTTPError = StatusError  # type: ignore[attr-defined] # as that module has it
    requests.RequestException = ClientError  # type: ignore[attr-defined] # likewise
    monkeypatch.setitem(sys.modules, "requests", requests)
    with serving(kind().app) as etl:
        answers = {name: etl.push("b/o", b"x", args=name) for name in FAILURES}
    assert {name: (each.status, detail(each)) for name, each in answers.items()} == {
        "http": (429, "not now"),
        "status": (418, "Target request failed"),
        "no-status": (502, "Target request failed"),
        "network": (502, "Network error: refused"),
    }
    assert answers["http"].header("retry-after") == "7"


def test_the_content_type_is_asked_for_after_the_transform() -> None:
    """On its thread, and for its object."""
    with serving(Buffered().app) as etl:
        for mime in ("image/png", "audio/wav"):
            assert etl.push("b/o", b"x", args=mime).header("content-type") == mime


@pytest.mark.parametrize(
    ("mime", "sent"),
    [
        ("text/plain", "text/plain; charset=utf-8"),
        ("text/plain; Charset=latin-1", "text/plain; Charset=latin-1"),
        ("application/json", "application/json"),
    ],
)
def test_charset(mime: str, sent: str) -> None:
    assert content_type(mime) == sent


# Where objects come from, and under which name.


@BOTH
@pytest.mark.parametrize("status", [203, 204, 206])
def test_a_part_is_no_object(kind: type[ETLServer], status: int, target: FakeTarget) -> None:
    target.order(Status(status=status, body=b"" if status == 204 else b"part"), times=2)
    with serving(kind().app) as etl:
        assert etl.pull("ais/@#/b/o").status == 502
        delivered = etl.pull("ais/@#/b/o", pipeline=[target.destination("ais/@#/d/o")])
    assert delivered.status == 502
    assert target.stored == {}


@BOTH
def test_a_target_with_a_slash_at_its_end(
    kind: type[ETLServer], target: FakeTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIS_TARGET_URL", target.url + "/")
    target.objects["ais/@#/b/o"] = b"x"
    server = kind()
    assert server.host_target == target.url + "/"
    with serving(server.app) as etl:
        pulled = etl.pull("ais/@#/b/o", pipeline=[target.destination("ais/@#/d/o")])
    assert pulled.status == 204


@BOTH
@pytest.mark.parametrize("root", ["", "/etl"])
@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_names_that_are_no_utf_8(
    kind: type[ETLServer], root: str, target: FakeTarget, anyio_backend: str
) -> None:
    app = kind().app

    async def ask(method: str, raw_path: str, headers: dict[str, str]) -> None:
        exchange = Exchange(
            app,
            method=method,
            path=f"{root}/a\ufffdb%c/d",
            headers=[(name.encode(), value.encode()) for name, value in headers.items()],
            receive=[request_message(b"x")],
        )
        exchange.scope.update(root_path=root, raw_path=raw_path.encode())
        await exchange.run()

    lifespan: Any = LifespanManager(app)
    with FakeStage() as stage:
        async with lifespan:
            raw = f"{root}/a%FFb%25c/d"
            await ask("GET", raw, {})
            assert target.gets()[-1].raw_path.endswith("/a%FFb%25c%2Fd")
            await ask("PUT", raw, {"ais-node-url": stage.url})
            assert stage.requests[-1].raw_path == "/a%FFb%25c/d"
            await ask("PUT", "", {"ais-node-url": stage.url})
            assert stage.requests[-1].raw_path == "/a%EF%BF%BDb%25c/d", "there is nothing better"


@BOTH
def test_no_100_before_a_refusal(kind: type[ETLServer]) -> None:
    """Hypercorn sends it by itself, before it asks anybody; here it is another server's."""
    refusals = {"ais-node-url": "a,,b"}, {"ais-node-url": "http://10.1.2.3/x"}
    for headers in refusals:
        asked: list[str] = []

        async def receive() -> dict[str, Any]:
            asked.append("for the body, and so with a 100")  # noqa: B023 # it ends with its turn
            raise AssertionError("nobody reads")

        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)  # noqa: B023 # likewise

        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "PUT",
            "path": "/b/o",
            "query_string": b"",
            "headers": [
                (b"expect", b"100-continue"),
                (b"content-length", b"3"),
                *((name.encode(), value.encode()) for name, value in headers.items()),
            ],
        }
        asyncio.run(asyncio.wait_for(kind().app(scope, receive, send), LIMIT))
        assert (sent[0]["status"], asked) == (400 if "a,,b" in headers.values() else 403, [])


# Attributes.


def test_what_the_server_has(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Buffered()
    assert server.sanitize_fqn("%2Fa%2F..%2Fb") == "/b"
    with pytest.raises(AttributeError, match="httpx"):
        server.client  # noqa: B018 # that is what raises
    assert not hasattr(server, "client")
    with pytest.raises(AttributeError, match="no FastAPI"):
        server.app.get  # noqa: B018 # likewise
    with pytest.raises(AttributeError, match="'other'"):
        server.app.other  # noqa: B018 # likewise


def test_session(monkeypatch: pytest.MonkeyPatch) -> None:
    class Session:
        def __init__(self) -> None:
            self.headers: dict[str, str] = {}

    requests = ModuleType("requests")
    requests.Session = Session  # type: ignore[attr-defined] # as that module has it
    monkeypatch.setitem(sys.modules, "requests", requests)
    for token, headers in ((None, {}), ("t0ken", {"Authorization": "Bearer t0ken"})):
        if token is not None:
            monkeypatch.setenv("AIS_AUTHN_TOKEN", token)
        server = Buffered()
        assert server.session is server.session
        assert (server.session.headers, server.session.verify) == (headers, True)
    monkeypatch.setitem(sys.modules, "requests", None)
    with pytest.raises(AttributeError, match="pip install requests"):
        Buffered().session  # noqa: B018 # likewise


def test_middleware() -> None:
    class Marked:
        def __init__(self, app: ASGIApp, mark: str) -> None:
            self.app = app
            self.mark = mark.encode()

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            async def marking(message: Any) -> None:
                if message["type"] == "http.response.start":
                    message["headers"] = [*message["headers"], (b"x-mark", self.mark)]
                await send(message)

            await self.app(scope, receive, marking)

    server = Buffered()
    server.app.add_middleware(Marked, mark="1")
    with serving(server.app) as etl:
        assert etl.push("b/o", b"x").header("x-mark") == "1"
        assert etl.request("GET", "/health").header("x-mark") == "1"


# Callers that leave.


class Ticking(ETLServer):
    """Little output, all of it held, for as long as anybody lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.ended = threading.Event()
        self.at = 0.0

    def transform_stream(self, reader: IO[bytes], path: str, etl_args: str) -> Iterator[bytes]:
        reader.read()
        try:
            while True:
                yield b"."
                self.begun.set()
                time.sleep(0.01)
        finally:
            self.at = time.monotonic()
            self.ended.set()


@pytest.mark.parametrize("by", ["body", "file", "chunks"])
@pytest.mark.parametrize("delivered", [False, True])
def test_a_caller_of_a_stream_that_is_held(
    by: str, delivered: bool, target: FakeTarget, tmp_path: Path
) -> None:
    server = Ticking()
    query, framing, body = "", b"Content-Length: 3", b"abc"
    if by == "file":
        (tmp_path / "object").write_bytes(b"abc")
        query, framing, body = f"?etl_fqn={tmp_path}/object", b"Content-Length: 0", b""
    if by == "chunks":
        framing, body = b"Transfer-Encoding: chunked", b"3\r\nabc\r\n0\r\n\r\n"
    hop = f"Ais-Node-Url: {target.destination('ais/@#/d/o')}\r\n" if delivered else ""
    head = f"PUT /b/o{query} HTTP/1.1\r\nHost: pod\r\n{hop}".encode() + framing + b"\r\n\r\n"
    with serving(server.app) as etl:
        with socket.create_connection(("127.0.0.1", etl.port), LIMIT) as connection:
            connection.sendall(head + body)
            assert server.begun.wait(LIMIT)
        left = time.monotonic()
        assert server.ended.wait(LIMIT)
    assert server.at - left < 0.5
    assert target.stored == {}


class Waiting(ETLServer):
    """Lets the test say when a transform may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.paths: list[str] = []

    def transform(self, data: bytes, path: str, etl_args: str) -> bytes:
        self.paths.append(path)
        self.begun.release()
        assert self.go_on.wait(LIMIT)
        return data


def test_a_caller_that_leaves_the_line(target: FakeTarget) -> None:
    """Nothing is transformed for it, and nothing delivered for one that leaves later."""
    server = Waiting()
    head = "PUT /b/{} HTTP/1.1\r\nHost: pod\r\n{}Content-Length: 3\r\n\r\nabc"
    hop = f"Ais-Node-Url: {target.destination('ais/@#/d/o')}\r\n"
    with serving(server.app) as etl:
        address = ("127.0.0.1", etl.port)
        with socket.create_connection(address, LIMIT) as first:
            first.sendall(head.format(1, hop).encode())
            assert server.begun.acquire(timeout=LIMIT)
            second = socket.create_connection(address, LIMIT)
            second.sendall(head.format(2, "").encode())
            time.sleep(0.2)  # only now does the server listen for its leaving
            second.close()
            time.sleep(0.2)
        time.sleep(0.3)
        with socket.create_connection(address, LIMIT) as third:
            third.sendall(head.format(3, "").encode())
            server.go_on.set()
            assert read_answer(third).body == b"abc"
    assert server.paths == ["b/1", "b/3"]
    assert target.stored == {}


@pytest.mark.anyio
async def test_a_caller_that_leaves_on_any_loop() -> None:
    server = Waiting()
    async with Exchange(
        server.app, method="PUT", receive=[request_message(b"x"), DISCONNECT], timeout=LIMIT
    ) as exchange:
        await exchange.wait_closed()
    server.go_on.set()
    assert exchange.sent == []
