"""Response: what a handler may write, when its head is fixed, and what is refused."""

import array
import io
import threading
from collections import deque
from collections.abc import Callable

import pytest

from asgi_bridge import LengthMismatch, Response, ResponseStarted, Watermarks, WrongThread
from asgi_bridge.crossing.outlet import Outlet
from tests.crossing.portals import HandTurned

from .sources import NO_LOOP


class Written:
    """A response whose other end is in the test's hands.

    Attributes:
        response: the handler's side.
    """

    def __init__(self, method: str = "GET", *, loop_thread_id: int = NO_LOOP) -> None:
        self._outlet: Outlet[bytes] = Outlet(HandTurned(), Watermarks(), timeout=5.0)
        self.response = Response(self._outlet, method=method, loop_thread_id=loop_thread_id)

    def taken(self) -> list[bytes]:
        """Every chunk handed over since the last time."""
        return list(self._outlet.take_held() or deque())


# Writing.


def test_what_is_written_is_handed_over() -> None:
    written = Written()
    response = written.response
    assert (response.started, response.tell()) == (False, 0)
    assert [response.write(b"ab"), response.write(b"cde")] == [2, 3]
    assert (response.started, response.tell()) == (True, 5)
    assert written.taken() == [b"ab", b"cde"]
    assert repr(response) == "<Response 200 5 bytes written>"


def test_bytes_are_not_copied() -> None:
    written, chunk = Written(), b"a chunk"
    written.response.write(chunk)
    assert written.taken()[0] is chunk


def test_a_buffer_that_its_owner_uses_again_stays_what_it_was() -> None:
    written, buffer = Written(), bytearray(b"abcd")
    written.response.write(buffer)
    written.response.write(memoryview(buffer)[1:3])
    buffer[:] = b"XXXX"
    buffer.clear()  # would be a BufferError if it were still exported
    assert written.taken() == [b"abcd", b"bc"]


def test_buffers_of_any_kind() -> None:
    class Named(bytes):
        pass

    written = Written()
    numbers, table = array.array("i", [1, 2]), memoryview(b"abcd").cast("B", (2, 2))
    every_other = memoryview(b"abcd")[::2]
    sizes = [written.response.write(each) for each in (numbers, table, every_other, Named(b"ef"))]
    assert sizes == [8, 4, 2, 2]
    chunks = written.taken()
    assert chunks == [numbers.tobytes(), b"abcd", b"ac", b"ef"]
    assert {type(chunk) for chunk in chunks} == {bytes}


@pytest.mark.parametrize("chunk", ["text", 5, None, [b"ab"]])
def test_what_is_not_bytes_is_refused(chunk: object) -> None:
    written = Written()
    with pytest.raises(TypeError):
        written.response.write(chunk)  # type: ignore[arg-type]  # that is the test
    assert (written.response.started, written.taken()) == (False, [])


def test_writelines_writes_each() -> None:
    written = Written()
    written.response.writelines([b"ab\n", b"", bytearray(b"cd\n")])
    assert written.taken() == [b"ab\n", b"cd\n"]


# The head.


@pytest.mark.parametrize("empty", [b"", bytearray(), memoryview(b"")])
def test_an_empty_chunk_is_no_first_byte(empty: bytes | bytearray | memoryview) -> None:
    written = Written()
    response = written.response
    assert response.write(empty) == 0
    assert (response.started, written.taken()) == (False, [])
    response.status = 404
    response.headers["x-one"] = "1"
    response.write(b"a")
    assert (response.head.status, response.head.headers) == (404, [(b"x-one", b"1")])


def test_the_first_byte_fixes_status_and_headers() -> None:
    written = Written()
    response = written.response
    response.status = 201
    response.headers["content-type"] = "text/plain"
    response.write(b"a")
    with pytest.raises(ResponseStarted, match="status"):
        response.status = 500
    with pytest.raises(ResponseStarted, match="headers"):
        response.headers["content-type"] = "text/csv"
    with pytest.raises(ResponseStarted, match="headers"):
        response.headers.add("vary", "*")
    head = response.head
    assert (head.status, head.headers) == (201, [(b"content-type", b"text/plain")])
    assert response.status == 201
    response.write(b"b")
    assert response.head is head


def test_send_head_hands_over_the_bare_head_once() -> None:
    written = Written()
    response = written.response
    response.send_head()
    assert (response.started, response.tell(), written.taken()) == (True, 0, [b""])
    with pytest.raises(ResponseStarted):
        response.status = 500
    response.send_head()
    response.write(b"ab")
    response.send_head()
    assert written.taken() == [b"ab"]


def test_flush_sends_nothing() -> None:
    written = Written()
    response = written.response
    response.flush()
    assert (response.started, written.taken()) == (False, [])
    response.write(b"ab")
    response.flush()
    assert written.taken() == [b"ab"]


def test_failure_in_a_text_wrapper_leaves_the_status_open() -> None:
    response = Written().response
    with pytest.raises(RuntimeError), io.TextIOWrapper(response, encoding="utf-8"):
        raise RuntimeError("before the first byte")
    assert (response.started, response.closed) == (False, True)


@pytest.mark.parametrize("status", [-1, 0, 100, 199, 600, 1000])
def test_no_final_status(status: int) -> None:
    response = Written().response
    with pytest.raises(ValueError, match=f"200 to 599, not {status}"):
        response.status = status
    assert response.status == 200


@pytest.mark.parametrize("status", [200, 299, 404, 599])
def test_final_status(status: int) -> None:
    response = Written().response
    response.status = status
    assert response.finish().status == status


# The declared length.


def declaring(length: str, method: str = "GET") -> Written:
    written = Written(method)
    written.response.headers["content-length"] = length
    return written


def test_a_body_as_long_as_declared() -> None:
    written = declaring("4")
    written.response.write(b"ab")
    written.response.write(b"cd")
    assert written.response.finish().declared == 4
    assert written.taken() == [b"ab", b"cd"]


def test_a_byte_too_many_is_refused_before_it_is_sent() -> None:
    written = declaring("4")
    response = written.response
    response.write(b"abc")
    for _ in range(2):
        with pytest.raises(LengthMismatch) as caught:
            response.write(b"de")
        assert (caught.value.sent, caught.value.declared) == (5, 4)
    assert (response.tell(), written.taken()) == (3, [b"abc"])
    response.write(b"d")  # what was promised may still be sent
    assert response.finish().declared == 4
    assert written.taken() == [b"d"]


@pytest.mark.parametrize("chunks", [[], [b"abc"]])
def test_a_byte_too_few_is_no_end(chunks: list[bytes]) -> None:
    written = declaring("4")
    written.response.writelines(chunks)
    with pytest.raises(LengthMismatch) as caught:
        written.response.finish()
    assert (caught.value.sent, caught.value.declared) == (sum(map(len, chunks)), 4)


def test_nothing_declared_promises_nothing() -> None:
    written = Written()
    written.response.write(b"ab")
    head = written.response.finish()
    assert (head.declared, head.headers, head.bodiless) == (None, [], False)


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("PUT", 304)])
@pytest.mark.parametrize("length", [None, "1", "100"])
def test_a_response_without_a_body(method: str, status: int, length: str | None) -> None:
    """What is written is counted and dropped; a length promises what a GET would have brought."""
    written = Written(method)
    response = written.response
    response.status = status
    if length is not None:
        response.headers["content-length"] = length
    assert (response.write(b"abcd"), response.tell()) == (4, 4)
    assert response.finish().bodiless
    assert written.taken() == []


# A file.


def test_what_it_says_of_itself() -> None:
    response = Written().response
    assert isinstance(response, io.BufferedIOBase)
    assert (response.writable(), response.readable(), response.seekable()) == (True, False, False)
    assert not response.isatty()


@pytest.mark.parametrize(
    "call",
    [
        lambda response: response.read(),
        lambda response: response.read1(),
        lambda response: response.seek(0),
        lambda response: response.truncate(),
        lambda response: response.fileno(),
        lambda response: response.detach(),
    ],
    ids=["read", "read1", "seek", "truncate", "fileno", "detach"],
)
def test_unsupported(call: Callable[[Response], object]) -> None:
    with pytest.raises(io.UnsupportedOperation):
        call(Written().response)


def test_closing_sends_nothing_and_refuses_the_rest() -> None:
    written = Written()
    response = written.response
    response.close()
    for call in (lambda: response.write(b"ab"), lambda: response.write(b""), response.flush):
        with pytest.raises(ValueError, match="closed file"):
            call()
    assert (response.closed, response.started, written.taken()) == (True, False, [])
    response.close()  # once more does nothing
    assert response.finish().status == 200


def test_with_closes() -> None:
    written = Written()
    with written.response as response:
        response.write(b"ab")
    assert (response.closed, response.tell(), written.taken()) == (True, 2, [b"ab"])


@pytest.mark.parametrize(
    "call",
    [
        lambda response: response.write(b"ab"),
        lambda response: response.flush(),
        lambda response: response.send_head(),
    ],
    ids=["write", "flush", "send_head"],
)
def test_the_loop_thread_is_refused(call: Callable[[Response], object]) -> None:
    written = Written(loop_thread_id=threading.get_ident())
    with pytest.raises(WrongThread, match="call it from a worker thread"):
        call(written.response)
    assert (written.response.started, written.taken()) == (False, [])
