"""What Go's client makes of the contract, byte by byte: 1.6."""

import socket
import time
from typing import Final

import pytest

from asgi_bridge.etl.testing.caller import read_answer

from .actions import MIB
from .pods import WAIT, Pod, connected

AGENT: Final = "User-Agent: Go-http-client/1.1"
POOL: Final = 6.0  # seconds that AIStore keeps an idle connection


def request(
    *lines: str, path: str = "/bck/obj", body: bytes = b"", method: str = "PUT", host: str = "pod"
) -> bytes:
    head = [f"{method} {path} HTTP/1.1", f"Host: {host}:8000", AGENT, *lines, "", ""]
    return "\r\n".join(head).encode() + body


def test_empty_object_is_chunked(pod: Pod) -> None:
    """Go cannot tell an empty reader from one of unknown length."""
    with connected(pod) as connection:
        connection.sendall(request("Transfer-Encoding: chunked", body=b"0\r\n\r\n"))
        answer = read_answer(connection)
    assert (answer.status, answer.body, answer.complete) == (200, b"", True)


def test_no_body(pod: Pod) -> None:
    with connected(pod) as connection:
        connection.sendall(request("Content-Length: 0"))
        answer = read_answer(connection)
    assert (answer.status, answer.body, answer.complete) == (200, b"", True)


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_chunks_of_any_size(pod: Pod, size: int) -> None:
    body = b"abcdefghij" * 20
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in pieces) + b"0\r\n\r\n"
    with connected(pod) as connection:
        connection.sendall(request("Transfer-Encoding: chunked", body=chunked))
        assert read_answer(connection).body == body.upper()


def test_head_and_body_in_small_packets(pod: Pod) -> None:
    whole = request("Content-Length: 3", body=b"abc")
    with connected(pod) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(whole), 20):
            connection.sendall(whole[at : at + 20])
        assert read_answer(connection).body == b"ABC"


def test_connection_is_kept(pod: Pod) -> None:
    """AIStore reuses its connections; a FIN instead of an answer is an object lost."""
    with connected(pod) as connection:
        for number in range(20):
            body = b"object-%d" % number
            connection.sendall(request(f"Content-Length: {len(body)}", body=body))
            answer = read_answer(connection)
            assert (answer.status, answer.body) == (200, body.upper())
            assert (answer.header("connection") or "").lower() != "close"


@pytest.mark.parametrize("args", ["do:fail", "do:teapot", "do:missing", "do:empty", "do:ignore"])
def test_connection_is_kept_after(pod: Pod, args: str) -> None:
    with connected(pod) as connection:
        connection.sendall(request("Content-Length: 3", path=f"/o?etl_args={args}", body=b"abc"))
        assert read_answer(connection).complete
        connection.sendall(request("Content-Length: 3", body=b"abc"))
        assert read_answer(connection).body == b"ABC"


def test_idle_connection_outlives_aistores_pool(pod: Pod) -> None:
    """3.15: at 5 s the server closed what AIStore kept for 6 s. The default is for test_launch."""
    with connected(pod) as connection:
        connection.sendall(request("Content-Length: 3", body=b"abc"))
        read_answer(connection)
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(WAIT)
        connection.sendall(request("Content-Length: 3", body=b"abc"))
        assert read_answer(connection).body == b"ABC"


def test_requests_back_to_back(pod: Pod) -> None:
    """Not Go's habit; but a second request may be there before the first answer has left."""
    with connected(pod) as connection:
        connection.sendall(request("Content-Length: 3", body=b"abc") * 2)
        received = b""
        while received.count(b"ABC") < 2:
            chunk = connection.recv(65536)
            assert chunk, received
            received += chunk
    assert received.count(b"200") == 2


def test_answer_before_the_upload_ends(streaming: Pod) -> None:
    """Go reads while it writes."""
    with connected(streaming) as connection:
        connection.sendall(request(f"Content-Length: {8 * MIB}"))
        received = b""
        sent = 0
        while b"200" not in received:
            assert sent < 8 * MIB, "the answer began after the upload had ended"
            connection.sendall(b"x" * 65536)
            sent += 65536
            connection.settimeout(0.02)
            try:
                received += connection.recv(65536)
            except TimeoutError:
                continue
        assert received.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("length", [4 * MIB, 16 * MIB])
@pytest.mark.parametrize("args", ["do:fail", "do:teapot"])
def test_early_refusal_of_a_large_upload(pod: Pod, args: str, length: int) -> None:
    """Status and body arrive, whatever is left of the upload: a reset would hide them."""
    answer = pod.ais.push("bck/obj", b"x" * length, args=args)
    assert (answer.status, answer.complete) == (500 if args == "do:fail" else 418, True)


def test_early_answer_to_a_large_upload(streaming: Pod) -> None:
    answer = streaming.ais.push("bck/obj", b"x" * (16 * MIB), args="do:ignore")
    assert (answer.status, answer.body, answer.complete) == (200, b"ignored", True)


def test_invalid_pipeline_of_a_large_upload(pod: Pod) -> None:
    answer = pod.ais.push("bck/obj", b"x" * (4 * MIB), pipeline=["a", "", "b"])
    assert answer.status == 400


def test_host_without_port(pod: Pod) -> None:
    with connected(pod) as connection:
        connection.sendall(request("Content-Length: 3", body=b"abc", host="a.b"))
        assert read_answer(connection).status == 200


def test_answers_are_framed(pod: Pod) -> None:
    """An answer that only the connection's end ends can be cut without anyone's notice."""
    for args in ("do:upper", "do:empty", "do:fail", f"do:size:{3 * MIB}"):
        answer = pod.ais.push("b/o", b"abc", args=args)
        assert answer.header("content-length") or answer.header("transfer-encoding") == "chunked"


def test_expect_continue(pod: Pod) -> None:
    """AIStore never sends it; the users of hpull's redirect may."""
    with connected(pod) as connection:
        connection.sendall(request("Content-Length: 3", "Expect: 100-continue"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 100")
        connection.sendall(b"abc")
        assert read_answer(connection).body == b"ABC"


def test_http_1_0(pod: Pod) -> None:
    with connected(pod) as connection:
        connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        assert read_answer(connection).body == b"Running"


def test_status_comes_soon_after_a_failure(pod: Pod) -> None:
    began = time.monotonic()
    pod.ais.push("b/o", b"abc", args="do:fail")
    assert time.monotonic() - began < POOL
