"""The server in this process: its class, its routes, and how what goes wrong is told."""

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import anyio
import pytest

from asgi_bridge import ClientDisconnected, HTTPError
from asgi_bridge.etl import ETLServer, FastAPIServer
from asgi_bridge.etl.app import path_of
from asgi_bridge.etl.errors import Refused, UpstreamBroken, refused_for
from asgi_bridge.etl.server import source_files
from asgi_bridge.etl.testing import Answer, FakeStage, FakeTarget, Status, When, serving
from asgi_bridge.testing import DISCONNECT, Exchange
from asgi_bridge.testing import request as request_message

OUTPUTS: Mapping[str, Any] = {
    "nothing": None,
    "text": "é",
    "bytearray": bytearray(b"ab"),
    "memoryview": memoryview(b"abcd").cast("H"),
}


class Upper(ETLServer):
    def transform(self, data: Any, path: str, etl_args: str) -> Any:
        if etl_args == "fail":
            raise ValueError("boom")
        if etl_args == "model":
            raise FileNotFoundError("no model")
        if etl_args == "teapot":
            raise HTTPError(418, "short and stout")
        if isinstance(data, str):
            return Path(data).read_bytes() if etl_args == "open" else data
        return OUTPUTS.get(etl_args, data.upper())


class Stream(FastAPIServer):
    flush_threshold = 4

    def transform_stream(self, reader: IO[bytes], path: str, etl_args: str) -> Iterable[Any]:
        if etl_args == "whole":
            return reader.read().upper()
        if etl_args == "list":
            return [memoryview(b"a"), bytearray(b"b")]
        return self._chunks(reader, etl_args)

    def _chunks(self, reader: IO[bytes], etl_args: str) -> Iterator[bytes]:
        if etl_args == "early":
            raise FileNotFoundError("no model")
        while chunk := reader.read(4):
            yield chunk.upper()
        if etl_args == "late":
            raise ValueError("boom")


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTarget]:
    with FakeTarget() as target:
        monkeypatch.setenv("AIS_TARGET_URL", target.url)
        monkeypatch.setenv("AIS_DIRECT_PUT_RETRIES", "0")
        monkeypatch.setenv("AIS_AUTHN_TOKEN", "t0ken")
        yield target


def detail(answer: Answer) -> object:
    found: object = json.loads(answer.body)["detail"]
    return found


# The class.


class Neither(ETLServer):
    pass


class Asynchronous(ETLServer):
    async def transform(  # type: ignore[override] # the mistake that is tested
        self, data: Any, path: str, etl_args: str
    ) -> Any:
        return data


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Neither, "Neither must override either"),
        (Asynchronous, "Asynchronous.transform"),
    ],
)
def test_refused_at_construction(kind: type[ETLServer], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        kind()


def test_no_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIS_TARGET_URL", raising=False)
    with pytest.raises(EnvironmentError, match="AIS_TARGET_URL"):
        Upper()


def test_what_a_base_leaves_open(target: FakeTarget) -> None:
    server = Upper(host="127.0.0.1", port=9)
    assert (server.host, server.port, server.host_target) == ("127.0.0.1", 9, target.url)
    assert (server.direct_put, server.direct_fqn, server.direct_put_retries) == (False, False, 0)
    with pytest.raises(NotImplementedError):
        ETLServer.transform(server, b"", "", "")
    with pytest.raises(NotImplementedError):
        server.transform_stream(io.BytesIO(), "", "")
    made = type("Made", (Upper,), {"__module__": "of no file"})
    assert __file__ in list(source_files(made))


def test_failures() -> None:
    gone = ClientDisconnected("gone")
    assert refused_for(gone) is gone
    broken = refused_for(UpstreamBroken("cut"))
    assert isinstance(broken, Refused)
    assert (broken.status_code, broken.detail) == (502, '{"detail":"Network error: cut"}')


# Bodies.


def put(server: ETLServer, *parts: Any, **options: Any) -> Exchange:
    return Exchange(server.app, method="PUT", path="/b/o", receive=parts, timeout=30, **options)


@pytest.mark.anyio
async def test_a_caller_that_leaves_its_upload(target: FakeTarget) -> None:
    for parts in ([DISCONNECT], [request_message(b"a", more_body=True), DISCONNECT]):
        assert await put(Upper(), *parts).run() == []


@pytest.mark.anyio
async def test_an_upload_that_stops(target: FakeTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asgi_bridge.etl.server._PATIENCE", 0.05)
    async with put(Upper(), request_message(b"a", more_body=True)) as exchange:
        await exchange.wait_closed()
    assert exchange.sent[0]["status"] == 408


@pytest.mark.anyio
async def test_an_answer_that_nobody_takes(
    target: FakeTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asgi_bridge.etl.server._PATIENCE", 0.05)
    async with put(Upper(), request_message(bytes(2 * 1024 * 1024))) as exchange:
        exchange.stall_send()
        outcome = await exchange.wait_closed()
    assert "ConnectionAbortedError" in repr(outcome)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.anyio
async def test_a_pulled_object_whose_transform_fails_late(
    target: FakeTarget, anyio_backend: str
) -> None:
    """It is the server's to cut, so the failure comes out of the application as itself."""
    target.objects["ais/@#/b/o"] = b"abcdefgh" * 100_000
    exchange = Exchange(
        Stream().app, method="GET", path="/ais/@#/b/o", query_string=b"etl_args=late", timeout=30
    )
    with pytest.raises(ValueError, match="boom"):
        await exchange.run()
    assert not exchange.complete


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.anyio
async def test_deliveries_that_cannot_be_made(
    target: FakeTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is for the server's log: nothing of the request is wrong."""
    monkeypatch.setenv("AIS_CLIENT_CA", "/nowhere/ca.pem")
    headers = [(b"ais-node-url", b"http://127.0.0.1:1/x")]
    for server in (Upper(), Stream()):
        with pytest.raises(FileNotFoundError):
            await put(server, request_message(b"abc"), headers=headers).run()


@pytest.mark.anyio
async def test_a_body_that_nobody_wants(target: FakeTarget, tmp_path: Path) -> None:
    (tmp_path / "object").write_bytes(b"abc")
    exchange = put(
        Upper(),
        request_message(b"x", more_body=True),
        request_message(b"y"),
        query_string=f"etl_fqn={tmp_path}/object".encode(),
        headers=[(b"content-length", b"2")],
    )
    assert (await exchange.run())[-1]["body"] == b"ABC"


@pytest.mark.anyio
async def test_large_objects_wait_for_a_place(
    target: FakeTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second one is not read beyond the first megabyte before the first is done."""
    monkeypatch.setattr("asgi_bridge.etl.objects.LARGE_AT_ONCE", 1)
    server, large = Upper(), bytes(2 * 1024 * 1024)
    async with put(server, request_message(large, more_body=True)) as first:
        second = put(server, *[request_message(large, more_body=True)] * 20, request_message())
        async with second:
            await anyio.sleep(0.1)
            assert second.sent == []
            await first.end_body()
            await first.wait_closed()
            await second.wait_closed()
    assert [each.sent[0]["status"] for each in (first, second)] == [200, 200]


# Routes.


def test_buffered(target: FakeTarget) -> None:
    with serving(Upper()) as etl:
        assert etl.push("b/o", b"abc").body == b"ABC"
        large = bytes(2 * 1024 * 1024)
        assert etl.push("b/o", large).body == large
        for name, body in (("nothing", b""), ("text", "é".encode())):
            assert etl.push("b/o", b"x", args=name).body == body
        assert etl.push("b/o", b"x", args="bytearray").body == b"ab"
        assert etl.push("b/o", b"x", args="memoryview").body == b"abcd"
        failed = etl.push("b/o", b"x", args="fail")
        assert (failed.status, detail(failed)) == (500, "Processing error: boom")
        teapot = etl.push("b/o", b"x", args="teapot")
        assert (teapot.status, detail(teapot)) == (418, "short and stout")


def test_streaming(target: FakeTarget) -> None:
    with serving(Stream().app) as etl:
        assert etl.push("b/o", b"abcdefgh").body == b"ABCDEFGH"
        assert etl.push("b/o", b"abcdefgh", args="whole").body == b"ABCDEFGH"
        assert etl.push("b/o", b"", args="list").body == b"ab"
        early = etl.push("b/o", b"abc", args="early")
        assert (early.status, detail(early)) == (500, "Processing error: no model")
        small = etl.push("b/o", b"abc", args="late")
        assert (small.status, detail(small)) == (500, "Processing error: boom")
        assert not etl.push("b/o", b"abcdefgh", args="late").complete


def test_download(target: FakeTarget) -> None:
    target.objects["ais/@#/b/o"] = b"abc"
    link = f"{target.url}/ais%252F@%2523%252Fb%252Fo"
    with serving(Upper().app) as etl:
        answer = etl.request("POST", f"/download?object_to=o&original_url={link}")
        assert (answer.status, answer.body) == (200, b"ABC")
        assert target.gets()[-1].header("authorization") is None
        assert etl.request("POST", "/download?object_to=o").status == 400
        refused = etl.request("POST", "/other")
        assert (refused.status, detail(refused)) == (405, "Method Not Allowed")


@pytest.mark.parametrize("kind", [Upper, Stream])
def test_next_hops(kind: type[ETLServer], target: FakeTarget) -> None:
    destination = target.destination("ais/@#/d/o")
    with serving(kind().app) as etl, FakeStage(lambda body: body[::-1]) as stage:
        assert etl.push("b/o", b"abc", pipeline=[destination]).status == 204
        assert target.stored["ais/@#/d/o"] == b"ABC"
        assert etl.push("b/o", b"abc", pipeline=[stage.url]).body == b"CBA"
        whole = bytes(range(256)) * 8192
        returned = etl.push("b/o", whole, pipeline=[stage.url])
        assert returned.body == whole.upper()[::-1]
        assert etl.push("b/o", b"", pipeline=[stage.url]).status == 200
        failed = etl.push(
            "b/o", b"abc", args="fail" if kind is Upper else "early", pipeline=[destination]
        )
        assert failed.status == 500
        cut = etl.push("b/o", b"abcdefgh", args="late", pipeline=[destination])
        assert cut.status == (204 if kind is Upper else 500)


def test_the_answer_of_the_next_hop(target: FakeTarget) -> None:
    destination = target.destination("ais/@#/d/o")
    target.order(Status(status=204, headers=(("ais-direct-put-length", "7"),)))
    target.order(Status(status=200, body=b"x" * 64))
    target.order(Status(status=204, headers=(("ais-direct-put-length", "x"),)))
    with serving(Stream().app) as etl:
        answers = [etl.push("b/o", b"abcdefgh", pipeline=[destination]) for _ in range(3)]
    assert [answer.status for answer in answers] == [204, 200, 500]
    assert answers[0].header("ais-direct-put-length") == "7"
    assert answers[1].body == b"x" * 64


def test_a_target_that_answers_before_it_has_the_object(target: FakeTarget) -> None:
    target.order(Status(status=200, when=When.BEFORE_BODY))
    with serving(Stream().app) as etl:
        large = bytes(16 * 1024 * 1024)
        answer = etl.push("b/o", large, pipeline=[target.destination("ais/@#/d/o")])
    assert answer.status == 503
    assert answer.header("ais-etl-retry-reason") == "direct-put-transient"
    assert target.stored == {}


def test_no_secret_for_strangers(target: FakeTarget) -> None:
    with serving(Stream().app) as etl:
        refused = etl.push("b/o", b"abc", pipeline=["http://10.1.2.3:1/x"])
        assert refused.status == 403
        assert b"AIS_ETL_TRUSTED_HOSTS" in refused.body
        assert etl.push("b/o", b"abc", pipeline=["nowhere"]).status == 500


@pytest.mark.parametrize("kind", [Upper, Stream])
def test_files(kind: type[ETLServer], target: FakeTarget, tmp_path: Path) -> None:
    file = tmp_path / "object"
    file.write_bytes(b"abc")
    with serving(kind().app) as etl:
        assert etl.push("b/o", fqn=file).body == b"ABC"
        assert etl.pull("ais/@#/b/o", fqn=file).body == b"ABC"
        missing = etl.push("b/o", fqn=tmp_path / "missing")
        assert missing.status == 404
        assert etl.push("b/o", fqn="/proc/self/environ").status == 403


def test_direct_fqn(target: FakeTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETL_DIRECT_FQN", "1")
    file = tmp_path / "object"
    file.write_bytes(b"abc")
    with serving(Upper().app) as etl:
        assert etl.push("b/o", fqn=file).body == str(file).encode()
        gone = tmp_path / "missing"
        assert etl.push("b/o", fqn=gone).body == str(gone).encode(), "to look is the transform's"
        missing = etl.push("b/o", fqn=gone, args="open")
        told = f"Error processing object 'b/o': file not found at '{gone}'."
        assert (missing.status, detail(missing)) == (404, told)
        assert etl.push("b/o", b"x", args="model").status == 500


# Without a server.


def exchange(server: ETLServer, **options: Any) -> Exchange:
    return Exchange(server.app, method="PUT", receive=[request_message(b"abc")], **options)


@pytest.mark.parametrize(
    ("path", "root", "name"),
    [
        ("/b/o", "", "b/o"),
        ("/etl/b/o", "/etl", "b/o"),
        ("/etl/b/o", "/etl/", "b/o"),
        ("/etl", "/etl", ""),
        ("/etlb/o", "/etl", "etlb/o"),
        ("//b", "", "/b"),
    ],
)
def test_mounted(path: str, root: str, name: str) -> None:
    assert path_of({"path": path, "root_path": root}) == name


@pytest.mark.anyio
async def test_unknown_scope(target: FakeTarget) -> None:
    async def nothing(*_: object) -> dict[str, Any]:
        return {}

    with pytest.raises(RuntimeError, match="serves http and websocket"):
        await Upper()({"type": "other"}, nothing, nothing)  # type: ignore[arg-type] # never called


@pytest.mark.parametrize("anyio_backend", ["trio"])
@pytest.mark.anyio
async def test_trio_has_no_next_hop(target: FakeTarget) -> None:
    messages = await exchange(Upper(), path="/b/o").run()
    assert messages[-1]["body"] == b"ABC"
    headers = [(b"ais-node-url", b"http://127.0.0.1:9")]
    with pytest.raises(RuntimeError, match="asyncio"):
        await exchange(Upper(), path="/b/o", headers=headers).run()
