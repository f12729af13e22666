"""The fake AIStore, held against itself: each fault, as a client meets it."""

import http.client
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from asgi_bridge.etl.testing import (
    Answer,
    Arrival,
    Caller,
    Close,
    FakeStage,
    FakeTarget,
    Fault,
    Framing,
    Raw,
    Received,
    Reset,
    Slow,
    Stall,
    StallAnswer,
    Status,
    Truncate,
    When,
    hosting,
    refusing,
    serving,
)
from asgi_bridge.etl.testing.behaviour import Reply
from asgi_bridge.etl.testing.caller import read_answer
from asgi_bridge.etl.testing.loopback import LoopbackServer
from asgi_bridge.types import Receive, Scope, Send

UNAME = "ais/@#/b/o"
LARGE = b"abcdefgh" * 200_000
NO_ANSWER = (0, b"", False)


@pytest.fixture
def target() -> Iterator[FakeTarget]:
    with FakeTarget() as it:
        yield it


@pytest.fixture
def stage(target: FakeTarget) -> Iterator[FakeStage]:
    with FakeStage(target=target) as it:
        yield it


def put(target: FakeTarget, body: bytes = b"abc", **options: str) -> Answer:
    """A direct put, as a pod would do it."""
    node = target.destination(UNAME, **options).removeprefix(target.origin)
    path = target.url.removeprefix(target.origin) + node
    return Caller(target.origin).request("PUT", path, [("content-length", str(len(body)))], body)


def get(target: FakeTarget, segment: str, method: str = "GET") -> Answer:
    path = target.url.removeprefix(target.origin)
    return Caller(target.origin).request(method, f"{path}/{segment}")


def facts(answer: Answer) -> tuple[int, bytes, bool]:
    return answer.status, answer.body, answer.complete


# The target.


def test_source(target: FakeTarget) -> None:
    target.objects[UNAME] = b"abc"
    assert facts(get(target, "ais%2F@%23%2Fb%2Fo")) == (200, b"abc", True)
    (request,) = target.gets()
    assert (request.arrival, request.header("range")) == (Arrival.COMPLETE, None)
    assert request.path.endswith(UNAME)


def test_source_that_does_not_exist(target: FakeTarget) -> None:
    assert get(target, "gone").status == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/etl/_object/my-etl/wrong/o"),
        ("GET", "/v1/etl/_object/my-etl/s3cr3t/b/o"),
        ("GET", "/v1/etl/_object/my-etl/s3cr3t/"),
        ("PUT", "/v1/etl/_object/my-etl/s3cr3t/o?uuid=unknown"),
        ("DELETE", "/v1/etl/_object/my-etl/s3cr3t/o"),
    ],
)
def test_what_no_pod_may_send(target: FakeTarget, method: str, path: str) -> None:
    assert Caller(target.origin).request(method, path).status == 400


def test_delivery(target: FakeTarget) -> None:
    assert facts(put(target)) == (200, b"", True)
    assert (target.stored, target.deliveries) == ({UNAME: b"abc"}, [(UNAME, b"abc")])
    (request,) = target.puts()
    assert target.puts(UNAME) == [request]
    assert target.puts("ais/@#/b/other") == []
    assert request.query == {"owt": "6", "uuid": "x1"}
    assert request.header("content-length") == "3"


def test_delivery_that_is_cut_is_not_stored(target: FakeTarget) -> None:
    path = target.url.removeprefix(target.origin) + "/o?uuid=x1"
    target.destination(UNAME)
    with socket.create_connection(("127.0.0.1", target.port)) as connection:
        connection.sendall(
            f"PUT {path} HTTP/1.1\r\nhost: t\r\ncontent-length: 9\r\n\r\nabc".encode()
        )
    (request,) = target.until(lambda all_: bool(all_) and all_[0].arrival is Arrival.CUT)
    assert (bytes(request.body), target.deliveries) == (b"abc", [])


def test_everything_is_forgotten(target: FakeTarget) -> None:
    put(target)
    target.objects[UNAME] = b"abc"
    target.order(Reset())
    target.reset()
    assert (target.requests, target.objects, target.stored, target.deliveries) == ([], {}, {}, [])
    assert put(target).status == 200


def test_waiting_has_an_end(target: FakeTarget) -> None:
    with pytest.raises(TimeoutError, match="the requests are"):
        target.until(bool, timeout=0.01)


def test_two_requests_on_one_connection(target: FakeTarget) -> None:
    target.objects["o"] = b"abc"
    path = target.url.removeprefix(target.origin) + "/o"
    with socket.create_connection(("127.0.0.1", target.port), 5) as connection:
        for _ in range(2):
            connection.sendall(f"GET {path} HTTP/1.1\r\nhost: t\r\n\r\n".encode())
            assert read_answer(connection, "GET").body == b"abc"
    one, other = target.requests
    assert one.connection == other.connection


def test_interim_answer(target: FakeTarget) -> None:
    target.destination("o")
    path = target.url.removeprefix(target.origin) + "/o?uuid=x1"
    head = f"PUT {path} HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n"
    with socket.create_connection(("127.0.0.1", target.port), 5) as connection:
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 100")
        connection.sendall(b"abc")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


# Faults.


@pytest.mark.parametrize(
    ("fault", "expected", "arrival"),
    [
        (Status(status=507, body=b"full"), (507, b"full", True), Arrival.COMPLETE),
        (
            Status(status=507, body=b"full", when=When.BEFORE_BODY, linger=0.1),
            (507, b"full", True),
            Arrival.UNREAD,
        ),
        (Status(status=204), (204, b"", True), Arrival.COMPLETE),
        (Reset(), NO_ANSWER, Arrival.COMPLETE),
        (Reset(after_bytes=0), NO_ANSWER, Arrival.UNREAD),
        (Reset(after_bytes=10), NO_ANSWER, Arrival.UNREAD),
        (Close(), NO_ANSWER, Arrival.COMPLETE),
        (Close(after_bytes=10), NO_ANSWER, Arrival.UNREAD),
        (Stall(seconds=0.05), NO_ANSWER, Arrival.COMPLETE),
        (Stall(after_bytes=10, seconds=0.05), NO_ANSWER, Arrival.UNREAD),
        (Raw(answer=b"huh"), NO_ANSWER, Arrival.COMPLETE),
        (Slow(piece_bytes=800_000, pause=0.001), (200, LARGE.upper(), True), Arrival.COMPLETE),
        (Truncate(after_bytes=0), (200, b"", False), Arrival.COMPLETE),
        (Truncate(after_bytes=3), (200, b"ABC", False), Arrival.COMPLETE),
        (Truncate(after_bytes=3, framing=Framing.CHUNKED), (200, b"ABC", False), Arrival.COMPLETE),
    ],
    ids=repr,
)
def test_fault(
    stage: FakeStage, fault: Fault, expected: tuple[int, bytes, bool], arrival: Arrival
) -> None:
    stage.order(fault)
    answer = Caller(stage.url).push("b/o", LARGE)
    assert facts(answer) == expected
    assert stage.requests[0].arrival is arrival
    assert Caller(stage.url).push("b/o", b"abc").body == b"ABC", "a fault is ordered once"


@pytest.mark.parametrize(
    "fault",
    [Truncate(after_bytes=3, reset=True), StallAnswer(after_bytes=3, seconds=0.05)],
    ids=repr,
)
def test_fault_whose_reset_may_take_the_answer_along(stage: FakeStage, fault: Fault) -> None:
    stage.order(fault)
    answer = Caller(stage.url).push("b/o", b"abcdef")
    assert not answer.complete
    assert b"ABC".startswith(answer.body)


def test_stall_ends_with_its_fake() -> None:
    answers: list[Answer] = []
    with FakeStage() as stage:
        stage.order(Stall())
        caller = Caller(stage.url)
        push = threading.Thread(target=lambda: answers.append(caller.push("b/o", b"abc")))
        push.start()
        stage.until(bool)
    push.join()
    assert [facts(each) for each in answers] == [NO_ANSWER]


def test_orders_are_followed_in_their_order(stage: FakeStage) -> None:
    stage.order(Status(status=500), method="GET", times=None)
    stage.order(Status(status=501), times=2)
    stage.order(Status(status=502))
    statuses = [Caller(stage.url).push("b/o", b"abc").status for _ in range(4)]
    assert statuses == [501, 501, 502, 200]
    assert [Caller(stage.url).pull("b/o").status for _ in range(2)] == [500, 500]


def test_nobody_listens() -> None:
    with refusing() as url, pytest.raises(ConnectionRefusedError):
        Caller(url).push("b/o", b"abc")


def test_what_is_not_http(target: FakeTarget) -> None:
    with socket.create_connection(("127.0.0.1", target.port), 5) as connection:
        connection.sendall(b"huh?\r\n\r\n")
        assert connection.recv(65536) == b""
    assert target.requests == []


def test_server_that_answers_nothing_is_none() -> None:
    request = Received("GET", "/", ())
    with LoopbackServer() as server:
        with pytest.raises(NotImplementedError):
            server.respond(request)
        assert server.refusal(request) is None
    assert Reply() == Reply(200, b"", ())


# The stage.


def test_health_of_a_stage(stage: FakeStage) -> None:
    assert Caller(stage.url).request("GET", "/health").body == b"Running"


def test_stage_in_the_middle(stage: FakeStage, target: FakeTarget) -> None:
    pipeline = [stage.url, target.destination(UNAME)]
    answer = Caller(stage.url).push("b/o", b"abc", pipeline=pipeline)
    assert (answer.status, answer.header("ais-direct-put-length")) == (204, "3")
    assert target.stored == {UNAME: b"ABC"}
    assert [each.path for each in stage.requests] == ["/b/o", "/b/o"]


def test_stage_whose_next_one_answers(stage: FakeStage, target: FakeTarget) -> None:
    target.order(Status(status=507, body=b"full"))
    answer = Caller(stage.url).push("b/o", b"abc", pipeline=[target.destination(UNAME)])
    assert facts(answer) == (507, b"full", True)


def test_stage_whose_next_one_resets(stage: FakeStage, target: FakeTarget) -> None:
    target.order(Reset())
    assert Caller(stage.url).push("b/o", b"abc", pipeline=[target.destination(UNAME)]).status == 502


def test_stage_without_a_target_knows_no_secret(target: FakeTarget) -> None:
    with FakeStage() as stage:
        answer = Caller(stage.url).push("b/o", b"abc", pipeline=[target.destination(UNAME)])
    assert answer.status == 400


def test_streaming_stage() -> None:
    with FakeStage(streaming=True) as stage:
        answer = Caller(stage.url).push("b/o", (LARGE for _ in range(8)))
        assert answer.body == LARGE.upper() * 8
        stage.order(Status(status=500))
        assert Caller(stage.url).push("b/o", b"abc").status == 500
        assert Caller(stage.url).request("GET", "/health").status == 200


# The caller, and serving.


def test_shape_of_a_push(stage: FakeStage) -> None:
    caller = Caller(stage.url)
    caller.push("b/a b", b"abc", args={"a": "b c"})
    caller.push("b/o", fqn="/mnt/a b")
    caller.push("b/o", b"")
    caller.pull(UNAME, latest=True)
    pushed, by_file, empty, pulled = stage.requests
    assert pushed.raw_target == "/b/a%20b?etl_args=%7B%22a%22%3A%22b+c%22%7D"
    assert by_file.raw_target == "/b/o?etl_fqn=%252Fmnt%252Fa%2520b"
    assert by_file.header("content-length") == "0"
    assert empty.header("transfer-encoding") == "chunked"
    assert pulled.raw_target == "/ais%2F@%23%2Fb%2Fo?latest-ver=true"
    assert pushed.header("User-Agent") == "Go-http-client/1.1"


def test_answer_says_what_it_is() -> None:
    assert repr(Answer(200, (), b"abc", complete=True)) == "<Answer 200, 3 bytes, complete: b'abc'>"
    assert repr(Answer(0)) == "<Answer 0, 0 bytes, cut: b''>"
    assert Answer(200).header("x") is None


def test_interim_answer_is_none() -> None:
    with FakeStage() as stage:
        stage.order(Raw(answer=b"HTTP/1.1 100 Continue\r\n\r\n"))
        assert facts(Caller(stage.url).push("b/o", b"abc")) == NO_ANSWER
        stage.order(Raw(answer=b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 x\r\n\r\n"))
        assert Caller(stage.url).push("b/o", b"abc").status == 204


def test_https(tmp_path: Path) -> None:
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost "
        "-addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem"
    )
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True, timeout=30)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    trust = ssl.create_default_context(cafile=tmp_path / "cert.pem")
    with FakeTarget(tls=context) as target:
        target.objects["o"] = b"abc"
        connection = http.client.HTTPSConnection("127.0.0.1", target.port, timeout=5, context=trust)
        connection.request("GET", target.url.removeprefix(target.origin) + "/o")
        with closing(connection), connection.getresponse() as answer:
            assert answer.read() == b"abc"


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def test_serving() -> None:
    with serving(hello) as caller:
        assert caller.request("GET", "/").body == b"hello"


def test_serving_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def serve_on(*_: object) -> None:
        released.wait(10)

    monkeypatch.setattr(hosting, "_serve", serve_on)
    monkeypatch.setattr(hosting, "JOIN", 0.01)
    with pytest.raises(RuntimeError, match="did not end"), serving(hello):
        pass
    released.set()
