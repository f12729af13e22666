"""Objects over a WebSocket: contract 1.5, third table, and the rows of 1.6 on it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from asgi_bridge.etl.testing import FakeStage, FakeTarget, Reset, Status

from .actions import FAILURE, MIB
from .pods import TOKEN, WAIT, Pod

UNAME: Final = "ais/@#/dst/obj"
LARGE: Final = b"abcdefgh" * (3 * MIB)  # 24 MiB: beyond the usual 16
FRAGMENT: Final = 65536


@contextmanager
def session(pod: Pod) -> Iterator[ClientConnection]:
    """A connection as AIStore's: no limits of its own, no compression, no pings."""
    url = f"ws://127.0.0.1:{pod.port}/ws"
    with connect(
        url, max_size=None, compression=None, ping_interval=None, open_timeout=WAIT, close_timeout=1
    ) as it:
        yield it


def send(it: ClientConnection, body: bytes | None, **control: str) -> None:
    it.send(json.dumps(control).encode())
    if body is not None:
        it.send(body)


def ask(it: ClientConnection, body: bytes | None, **control: str) -> str | bytes:
    send(it, body, **control)
    return it.recv(timeout=WAIT)


def test_object(buffered: Pod) -> None:
    with session(buffered) as it:
        assert ask(it, b"abc", path="obj") == b"ABC"


def test_empty_control(buffered: Pod) -> None:
    with session(buffered) as it:
        assert ask(it, b"abc") == b"ABC"


def test_control_with_nothing_in_it(buffered: Pod) -> None:
    with session(buffered) as it:
        assert ask(it, b"abc", pipeline="", etl_args="", fqn="", path="") == b"ABC"


def test_empty_object(buffered: Pod) -> None:
    with session(buffered) as it:
        assert ask(it, b"") == b""


def test_objects_one_after_the_other(buffered: Pod) -> None:
    with session(buffered) as it:
        for number in range(20):
            assert ask(it, b"object-%d" % number) == b"OBJECT-%d" % number


def test_next_object_is_written_before_the_answer(buffered: Pod) -> None:
    """AIStore's write loop does not wait; the answers keep the order."""
    with session(buffered) as it:
        for number in range(20):
            send(it, b"object-%d" % number)
        assert [it.recv(timeout=WAIT) for _ in range(20)] == [
            b"OBJECT-%d" % number for number in range(20)
        ]


def test_path_and_arguments(buffered: Pod) -> None:
    with session(buffered) as it:
        facts = json.loads(ask(it, b"abc", path="a b/ö", etl_args=" do:report:x+y "))
    assert (facts["path"], facts["args"]) == ("a b/ö", "do:report:x+y")
    assert facts["on_loop"] is False


@pytest.mark.parametrize("kind", ["bytearray", "memoryview"])
def test_other_bytes_like_answers(buffered: Pod, kind: str) -> None:
    with session(buffered) as it:
        assert ask(it, b"abc", etl_args=f"do:{kind}") == b"ABC"


def test_file(buffered: Pod, source: Path) -> None:
    with session(buffered) as it:
        assert ask(it, None, fqn=quote(str(source), safe="")) == b"FROM A FILE"
        assert ask(it, None, fqn=str(source)) == b"FROM A FILE"


def test_object_in_fragments(buffered: Pod) -> None:
    with session(buffered) as it:
        it.send(b"{}")
        it.send(LARGE[at : at + FRAGMENT] for at in range(0, 4 * MIB, FRAGMENT))
        assert it.recv(timeout=WAIT) == LARGE[: 4 * MIB].upper()


def test_transform_that_fails(buffered: Pod) -> None:
    with session(buffered) as it:
        assert ask(it, b"abc", etl_args="do:fail") == f"Transform error: {FAILURE}"
        assert ask(it, b"abc") == b"ABC", "the connection stays"


@pytest.mark.parametrize("pipeline", [",,", "a,,b", "http://a,"])
def test_invalid_pipeline(buffered: Pod, pipeline: str) -> None:
    with session(buffered) as it:
        answer = ask(it, b"abc", pipeline=pipeline)
        assert isinstance(answer, str)
        assert answer.startswith("Invalid pipeline header: ")
        assert ask(it, b"abc") == b"ABC"


def test_delivery(buffered: Pod, target: FakeTarget) -> None:
    with session(buffered) as it:
        assert ask(it, b"abc", path="obj", pipeline=target.destination(UNAME)) == "3"
    assert target.deliveries == [(UNAME, b"ABC")]
    assert target.puts()[0].header("authorization") == f"Bearer {TOKEN}"


def test_delivery_of_a_file(buffered: Pod, target: FakeTarget, source: Path) -> None:
    with session(buffered) as it:
        assert ask(it, None, fqn=str(source), pipeline=target.destination(UNAME)) == "11"
    assert target.deliveries == [(UNAME, b"FROM A FILE")]


def test_delivery_that_is_sent_again(buffered: Pod, target: FakeTarget) -> None:
    target.order(Reset())
    with session(buffered) as it:
        assert ask(it, b"abc", pipeline=target.destination(UNAME)) == "3"
    assert target.deliveries == [(UNAME, b"ABC")]


def test_delivery_that_fails(buffered: Pod, target: FakeTarget) -> None:
    target.order(Status(status=507, body=b"full"))
    with session(buffered) as it:
        assert ask(it, b"abc", pipeline=target.destination(UNAME)) == "0"
        assert ask(it, b"abc") == b"ABC"


def test_delivery_whose_retries_run_out(buffered: Pod, target: FakeTarget) -> None:
    target.order(Reset(), times=2)
    with session(buffered) as it:
        assert ask(it, b"abc", pipeline=target.destination(UNAME)) == "0"
    assert target.deliveries == []


def test_stage_returns_the_object(buffered: Pod, stage: FakeStage) -> None:
    with session(buffered) as it:
        assert ask(it, b"abc", path="src/obj", pipeline=stage.url) == b"CBA"
    assert stage.requests[0].raw_target == "/src/obj"


def test_pipeline_to_the_target(buffered: Pod, stage: FakeStage, target: FakeTarget) -> None:
    pipeline = f"{stage.url},{target.destination(UNAME)}"
    with session(buffered) as it:
        assert ask(it, b"abc", path="src/obj", pipeline=pipeline) == "3"
    assert target.deliveries == [(UNAME, b"CBA")]


def test_missing_file_leaves_the_connection(buffered: Pod, tmp_path: Path) -> None:
    """3.12: the connection was closed, and AIStore's task hung until its job ended."""
    with session(buffered) as it:
        answer = ask(it, None, fqn=str(tmp_path / "gone"))
        assert isinstance(answer, str)
        assert ask(it, b"abc") == b"ABC"


def test_file_that_is_nobodys_object(buffered: Pod) -> None:
    with session(buffered) as it:
        answer = ask(it, None, fqn="/proc/self/environ")
        assert isinstance(answer, str)
        assert "TARGET_URL" not in answer


@pytest.mark.parametrize("control", [b"not json", b"[1]", b"\xff"])
def test_control_that_is_none(buffered: Pod, control: bytes) -> None:
    """What follows cannot be told from an object; the connection ends."""
    with session(buffered) as it:
        it.send(control)
        with pytest.raises(ConnectionClosed):
            it.recv(timeout=WAIT)


def test_control_as_text(buffered: Pod) -> None:
    with session(buffered) as it:
        it.send("{}")
        with pytest.raises(ConnectionClosed):
            it.recv(timeout=WAIT)


def test_streaming_pods_have_none(streaming: Pod) -> None:
    """Accepted, then closed; who sends may notice that only later."""
    with session(streaming) as it:
        with suppress(ConnectionClosed):
            it.send(b"{}")
        with pytest.raises(ConnectionClosed):
            it.recv(timeout=WAIT)


def test_health_while_a_transform_works(buffered: Pod) -> None:
    with session(buffered) as it:
        send(it, b"abc", etl_args="do:sleep:1")
        buffered.until(lambda events: "sleeping" in events)
        assert buffered.ais.request("GET", "/health").body == b"Running"
        assert it.recv(timeout=WAIT) == b"ABC"


def test_peer_that_leaves_in_the_middle(buffered: Pod) -> None:
    with session(buffered) as it:
        it.send(b"{}")
    with session(buffered) as it:
        assert ask(it, b"abc") == b"ABC"


def test_sessions_beside_each_other(buffered: Pod) -> None:
    with session(buffered) as one, session(buffered) as other:
        send(one, b"one", etl_args="do:sleep:0.5")
        assert ask(other, b"other") == b"OTHER"
        assert one.recv(timeout=WAIT) == b"ONE"
