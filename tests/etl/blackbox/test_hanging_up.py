"""Who leaves, stalls or is slow: contract 3.4, 3.5, its deadlock, and the rows of 1.6 on time."""

import socket
import struct
import threading
from contextlib import ExitStack
from typing import Final

import pytest

from asgi_bridge.etl.testing import Answer, Arrival, FakeStage, FakeTarget, Stall, StallAnswer
from asgi_bridge.etl.testing.caller import read_answer

from .actions import MIB
from .pods import Pod, connected

UNAME: Final = "ais/@#/dst/obj"
STALLED: Final = 44
LARGE: Final = 64 * MIB
BLOCK: Final = b"abcdefgh" * 8192
ABORT: Final = struct.pack("ii", 1, 0)


def head(*lines: str, path: str = "/src/obj", method: str = "PUT") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: pod", *lines, "", ""]).encode()


def hang_up(connection: socket.socket, *, reset: bool) -> None:
    if reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    connection.close()


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("framing", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
def test_upload_that_is_cut_is_not_delivered(
    pod: Pod, target: FakeTarget, framing: str, reset: bool
) -> None:
    with connected(pod) as connection:
        node = f"Ais-Node-Url: {target.destination(UNAME)}"
        connection.sendall(head(framing, node))
        connection.sendall(b"3\r\nabc\r\n" if "chunked" in framing else b"abc")
        hang_up(connection, reset=reset)
    # a later object gets through, so the earlier one would have, too
    pod.ais.push("src/obj", b"later", pipeline=[target.destination("later")])
    target.until(lambda requests: all(each.arrival is not Arrival.ARRIVING for each in requests))
    assert target.deliveries == [("later", b"LATER")]


def test_upload_that_is_cut_is_no_object(pod: Pod) -> None:
    with connected(pod) as connection:
        connection.sendall(head("Content-Length: 1000000") + b"abc")
        connection.shutdown(socket.SHUT_WR)
        answer = read_answer(connection)
    assert answer.status in (0, 400, 499, 500) or not answer.complete


def test_nothing_is_delivered_after_the_caller_has_left(pod: Pod, target: FakeTarget) -> None:
    """3.5: the object was stored although AIStore had reported a failure."""
    with connected(pod) as connection:
        node = f"Ais-Node-Url: {target.destination(UNAME)}"
        connection.sendall(head("Content-Length: 3", node, path="/o?etl_args=do:sleep:1") + b"abc")
        pod.until(lambda events: "sleeping" in events)
        connection.close()
    pod.ais.push("src/obj", b"later", args="do:sleep:1.5", pipeline=[target.destination("later")])
    target.until(lambda requests: all(each.arrival is not Arrival.ARRIVING for each in requests))
    assert [uname for uname, _ in target.deliveries] == ["later"]


def test_delivery_is_cut_when_the_caller_leaves(streaming: Pod, target: FakeTarget) -> None:
    with connected(streaming) as connection:
        node = f"Ais-Node-Url: {target.destination(UNAME)}"
        connection.sendall(head("Content-Length: 0", node, path="/o?etl_args=do:endless"))
        target.until(lambda requests: bool(requests) and len(requests[0].body) > MIB)
        connection.close()
        (put,) = target.until(lambda requests: requests[0].arrival is not Arrival.ARRIVING)
    assert put.arrival is Arrival.CUT
    streaming.until(lambda events: events == ["endless", "ended"])


def test_endless_answer_ends_when_the_caller_leaves(streaming: Pod) -> None:
    """3.5: the generator went on for ever."""
    with connected(streaming) as connection:
        connection.sendall(head("Content-Length: 0", path="/o?etl_args=do:endless"))
        connection.recv(65536)
        connection.close()
        streaming.until(lambda events: events == ["endless", "ended"])


def test_source_is_let_go_when_the_caller_leaves(streaming: Pod, target: FakeTarget) -> None:
    target.objects["o"] = b"x" * MIB
    target.order(StallAnswer(after_bytes=1000))
    with connected(streaming) as connection:
        connection.sendall(head(path="/o", method="GET"))
        target.until(bool)
        connection.close()
    target.objects["next"] = b"abc"
    assert streaming.ais.pull("next").body == b"ABC"


def test_stalled_uploads_starve_nobody(pod: Pod) -> None:
    """3.4: forty-four of them took all threads."""
    with ExitStack() as stack:
        for _ in range(STALLED):
            connection = stack.enter_context(connected(pod))
            connection.sendall(head("Content-Length: 1000000") + b"abc")
        answer = pod.ais.push("b/o", b"abc")
        assert (answer.status, answer.body) == (200, b"ABC")


def test_stalled_deliveries_starve_nobody(pod: Pod, target: FakeTarget) -> None:
    target.order(Stall(seconds=20), method="PUT", times=STALLED)
    with ExitStack() as stack:
        for _ in range(STALLED):
            connection = stack.enter_context(connected(pod))
            node = f"Ais-Node-Url: {target.destination(UNAME)}"
            connection.sendall(head("Content-Length: 3", node) + b"abc")
        target.until(lambda requests: len(requests) == STALLED)
        assert pod.ais.request("GET", "/health").status == 200
        assert pod.ais.push("b/o", b"abc").body == b"ABC"


def test_delivery_to_a_stalled_target_ends_with_its_caller(pod: Pod, target: FakeTarget) -> None:
    target.order(Stall(seconds=3))
    with connected(pod) as connection:
        node = f"Ais-Node-Url: {target.destination(UNAME)}"
        connection.sendall(head("Content-Length: 3", node) + b"abc")
        target.until(bool)
        connection.close()
    assert pod.ais.push("b/o", b"abc").body == b"ABC"
    assert len(target.puts()) == 1, "nobody waits for a second attempt"


def test_object_comes_back_through_a_streaming_stage(pod: Pod) -> None:
    """The stock servers hang for ever: their client writes its whole body before it reads."""
    with FakeStage(bytes.swapcase, streaming=True) as stage:
        blocks = (BLOCK for _ in range(LARGE // len(BLOCK)))
        answer = pod.ais.push("src/obj", blocks, pipeline=[stage.url])
    assert (answer.status, answer.complete, len(answer.body)) == (200, True, LARGE)
    assert answer.body[:8] == b"abcdefgh"


def test_object_comes_back_through_two_pods(pod: Pod) -> None:
    blocks = (BLOCK for _ in range(LARGE // len(BLOCK)))
    answer = pod.ais.push("src/obj", blocks, pipeline=[pod.url])
    assert (answer.status, answer.complete, len(answer.body)) == (200, True, LARGE)


def test_object_comes_back_through_three_pods(pod: Pod) -> None:
    body = BLOCK * 64
    answer = pod.ais.push("src/obj", body, pipeline=[pod.url, pod.url])
    assert (answer.status, answer.complete, answer.body) == (200, True, body.upper())


def test_object_goes_through_three_pods_to_the_target(pod: Pod, target: FakeTarget) -> None:
    pipeline = [pod.url, pod.url, target.destination(UNAME)]
    answer = pod.ais.push("src/obj", BLOCK, pipeline=pipeline)
    assert (answer.status, answer.header("ais-direct-put-length")) == (204, str(len(BLOCK)))
    assert target.deliveries == [(UNAME, BLOCK.upper())]


def test_failure_in_the_last_of_three_pods(pod: Pod, target: FakeTarget) -> None:
    """Every stage gets the same arguments, so every one would fail; the first one does."""
    pipeline = [pod.url, pod.url, target.destination(UNAME)]
    answer = pod.ais.push("src/obj", BLOCK, args=f"do:fail-late:{8 * MIB}", pipeline=pipeline)
    assert answer.status >= 500
    target.until(lambda requests: all(each.arrival is not Arrival.ARRIVING for each in requests))
    assert target.deliveries == []


def test_caller_that_reads_slowly(streaming: Pod) -> None:
    answers: list[Answer] = []
    with connected(streaming) as connection:
        connection.sendall(head("Content-Length: 0", path=f"/o?etl_args=do:size:{4 * MIB}"))
        reader = threading.Thread(target=lambda: answers.append(read_answer(connection)))
        assert streaming.ais.push("b/o", b"abc").body == b"ABC"
        reader.start()
        reader.join()
    assert (len(answers[0].body), answers[0].complete) == (4 * MIB, True)
