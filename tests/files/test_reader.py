"""What a BodyReader does beside answering: closing, failing, refusing, not copying."""

import array
import io
import sys
import threading
import tracemalloc
from collections.abc import Callable

import pytest

from asgi_bridge import BodyReader, ClientDisconnected, WrongThread

from .sources import NO_LOOP, Arriving, arriving

READS: dict[str, Callable[[BodyReader], object]] = {
    "read": lambda reader: reader.read(),
    "read(1)": lambda reader: reader.read(1),
    "read(0)": lambda reader: reader.read(0),
    "read1": lambda reader: reader.read1(),
    "read1(0)": lambda reader: reader.read1(0),
    "readinto": lambda reader: reader.readinto(bytearray(1)),
    "readinto1": lambda reader: reader.readinto1(bytearray(1)),
    "readline": lambda reader: reader.readline(),
    "readline(0)": lambda reader: reader.readline(0),
    "readlines": lambda reader: reader.readlines(),
    "iteration": lambda reader: list(reader),
    "next": lambda reader: next(reader),
    "peek": lambda reader: reader.peek(),
    "chunks": lambda reader: list(reader.chunks()),
}
OTHERS: dict[str, Callable[[BodyReader], object]] = {
    "tell": lambda reader: reader.tell(),
    "readable": lambda reader: reader.readable(),
    "isatty": lambda reader: reader.isatty(),
    "flush": lambda reader: reader.flush(),
    "with": lambda reader: reader.__enter__(),
}


# Which thread.


@pytest.mark.parametrize("call", READS.values(), ids=READS)
def test_the_loop_thread_is_refused(call: Callable[[BodyReader], object]) -> None:
    source = Arriving([b"ab\ncd"])
    with pytest.raises(WrongThread, match="call it from a worker thread"):
        call(BodyReader(source, threading.get_ident()))
    assert source.released == 0


def test_what_does_not_wait_may_be_called_on_the_loop_thread() -> None:
    reader = BodyReader(Arriving([b"ab"]), threading.get_ident())
    assert (reader.tell(), reader.readable(), reader.closed) == (0, True, False)
    assert repr(reader) == "<BodyReader at byte 0>"
    reader.close()


# Closing.


@pytest.mark.parametrize("call", [*READS.values(), *OTHERS.values()], ids=[*READS, *OTHERS])
def test_a_closed_reader_refuses(call: Callable[[BodyReader], object]) -> None:
    reader = arriving(b"ab\n", b"cd")
    reader.read(1)
    reader.close()
    with pytest.raises(ValueError, match="closed file"):
        call(reader)


def test_an_iteration_ends_with_the_reader() -> None:
    reader = arriving(b"ab\n", b"cd\n")
    lines, chunks = iter(reader), reader.chunks()
    assert (next(lines), next(chunks)) == (b"ab\n", b"cd\n")
    reader.close()
    for iterator in (lines, chunks):
        with pytest.raises(ValueError, match="closed file"):
            next(iterator)


def test_an_iteration_ends_with_the_reader_in_the_midst_of_a_chunk() -> None:
    reader = arriving(b"ab\ncd\n")
    lines = iter(reader)
    assert next(lines) == b"ab\n"
    reader.close()
    with pytest.raises(ValueError, match="closed file"):
        next(lines)


def test_with_closes() -> None:
    with arriving(b"ab") as reader:
        assert reader.read(1) == b"a"
    assert reader.closed
    assert repr(reader) == "<BodyReader closed>"
    reader.close()  # once more does nothing


# What it cannot do.


@pytest.mark.parametrize(
    "call",
    [
        lambda reader: reader.seek(0),
        lambda reader: reader.truncate(),
        lambda reader: reader.fileno(),
        lambda reader: reader.detach(),
        lambda reader: reader.write(b"ab"),
        lambda reader: reader.writelines([b"ab"]),
    ],
    ids=["seek", "truncate", "fileno", "detach", "write", "writelines"],
)
def test_unsupported(call: Callable[[BodyReader], object]) -> None:
    reader = arriving(b"ab")
    with pytest.raises(io.UnsupportedOperation):
        call(reader)
    assert reader.read() == b"ab"


def test_what_it_says_of_itself() -> None:
    reader = arriving(b"ab")
    assert isinstance(reader, io.BufferedIOBase)
    assert (reader.readable(), reader.writable(), reader.seekable()) == (True, False, False)
    assert not reader.isatty()
    reader.read(1)
    assert repr(reader) == "<BodyReader at byte 1>"


# Buffers.


@pytest.mark.parametrize("method", ["readinto", "readinto1"])
def test_buffers_of_any_kind(method: str) -> None:
    body = bytes(range(24))
    readinto = getattr(arriving(body), method)
    plain, numbers, part = bytearray(4), array.array("i", [0] * 3), bytearray(10)
    table = memoryview(bytearray(4)).cast("B", (2, 2))
    counts = [readinto(each) for each in (plain, numbers, memoryview(part)[2:6], table)]
    assert counts == [4, 12, 4, 4]
    assert plain == body[:4]
    assert numbers.tobytes() == body[4:16]
    assert part == b"\0\0" + body[16:20] + bytes(4)
    assert table.tobytes() == body[20:]
    assert readinto(plain) == 0


@pytest.mark.parametrize("method", ["readinto", "readinto1"])
def test_a_buffer_without_room_takes_nothing(method: str) -> None:
    reader = arriving(b"ab")
    assert getattr(reader, method)(bytearray()) == 0
    assert reader.read() == b"ab"


@pytest.mark.parametrize("method", ["readinto", "readinto1"])
@pytest.mark.parametrize("buffer", [b"fixed", "text"])
def test_what_cannot_be_filled_is_refused(method: str, buffer: bytes | str) -> None:
    reader = arriving(b"ab")
    with pytest.raises(TypeError):
        getattr(reader, method)(buffer)
    assert reader.read() == b"ab"


def test_readinto_waits_for_all_and_readinto1_for_any() -> None:
    reader, buffer = arriving(b"ab", b"cd", b"ef"), bytearray(3)
    assert (reader.readinto1(buffer), bytes(buffer)) == (2, b"ab\0")
    assert (reader.readinto(buffer), bytes(buffer)) == (3, b"cde")
    assert (reader.readinto(buffer), bytes(buffer)) == (1, b"fde")


# Not copying.


def test_chunks_are_the_servers_own() -> None:
    sent = [b"first chunk", b"second chunk", b"third chunk"]
    chunks = list(arriving(*sent).chunks())
    assert [id(chunk) for chunk in chunks] == [id(chunk) for chunk in sent]


def test_a_read_that_fits_a_chunk_is_that_chunk() -> None:
    sent = [b"first chunk", b"second chunk", b"third chunk"]
    reader = arriving(*sent)
    assert reader.read(len(sent[0])) is sent[0]
    assert reader.read1(len(sent[1])) is sent[1]
    assert reader.read1() is sent[2]


def test_a_read_over_two_chunks_copies_neither_on_its_own() -> None:
    reader = arriving(*[b"a" * 1_000_000, b"b" * 1_000_000] * 4)
    reader.read(500_000)
    tracemalloc.start()
    try:
        read = reader.read(1_000_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert read == b"a" * 500_000 + b"b" * 500_000
    assert peak < 1_100_000


def test_what_other_calls_leave_of_a_chunk_comes_first() -> None:
    reader = arriving(b"abcd", b"ef")
    assert (reader.read(1), list(reader.chunks())) == (b"a", [b"bcd", b"ef"])


@pytest.mark.parametrize("size", [1.5, 20_000.5, "2"])
def test_a_size_that_is_no_number_of_bytes_takes_nothing(size: object) -> None:
    reader = arriving(b"a" * 10_000, b"b")
    reader.read(1)
    with pytest.raises(TypeError):
        reader.read(size)  # type: ignore[arg-type]  # as callers without types do
    assert reader.tell() == 1


def test_a_size_that_no_object_has_takes_nothing() -> None:
    reader = arriving(b"abc")
    with pytest.raises(OverflowError):
        reader.read(sys.maxsize + 1)
    assert reader.read(sys.maxsize) == b"abc"


def test_a_bytearray_of_the_server_is_not_handed_out() -> None:
    chunk = bytearray(b"abc")
    reader = arriving(chunk)  # type: ignore[arg-type]  # as some servers do
    shown = reader.peek()
    chunk[:] = b"xyz"
    assert (type(shown), shown, reader.read(3)) == (bytes, b"abc", b"abc")


def test_peek_shows_what_it_is_asked_for() -> None:
    reader = arriving(b"a" * 20_000)
    assert len(reader.peek()) == io.DEFAULT_BUFFER_SIZE
    assert len(reader.peek(9000)) == 9000
    assert len(reader.peek(30_000)) == 20_000
    assert reader.tell() == 0


# Failures.


GONE = ClientDisconnected("the client went away after 6 bytes of the body")


OF_NO_BYTES = ("read(0)", "read1(0)", "readline(0)")


@pytest.mark.parametrize("name", sorted(READS.keys() - OF_NO_BYTES))
def test_a_failure_is_no_end(name: str) -> None:
    reader = arriving(b"ab\ncde", ending=GONE)
    assert reader.read(6) == b"ab\ncde"
    for _ in range(2):
        with pytest.raises(ClientDisconnected) as caught:
            READS[name](reader)
        assert caught.value is GONE
    assert reader.tell() == 6


@pytest.mark.parametrize("name", OF_NO_BYTES)
def test_a_read_of_no_bytes_does_not_meet_the_failure(name: str) -> None:
    reader = arriving(b"ab", ending=GONE)
    reader.read(2)
    assert READS[name](reader) == b""


@pytest.mark.parametrize(
    "call",
    [
        lambda reader: reader.read(),
        lambda reader: reader.read(7),
        lambda reader: reader.readinto(bytearray(7)),
        lambda reader: reader.readline(),
        lambda reader: reader.readlines(),
        lambda reader: list(reader),
        lambda reader: b"".join(reader.chunks()),
    ],
    ids=["read", "read(7)", "readinto", "readline", "readlines", "iteration", "chunks"],
)
def test_a_read_over_the_gap_raises_and_goes_on_raising(
    call: Callable[[BodyReader], object],
) -> None:
    reader = arriving(b"abc", b"def", ending=GONE)
    for _ in range(2):
        with pytest.raises(ClientDisconnected) as caught:
            call(reader)
        assert caught.value is GONE
    assert reader.tell() == 6
    reader.close()  # still does


@pytest.mark.parametrize(
    "call",
    [
        lambda reader: reader.read(3),
        lambda reader: reader.read1(),
        lambda reader: reader.readline(3),
        lambda reader: next(reader.chunks()),
        lambda reader: reader.peek() and reader.read1(),
    ],
    ids=["read(3)", "read1", "readline(3)", "chunks", "peek"],
)
def test_what_came_before_a_failure_is_readable_first(
    call: Callable[[BodyReader], object],
) -> None:
    reader = arriving(b"abc", b"def", ending=GONE)
    assert [call(reader), call(reader), reader.tell()] == [b"abc", b"def", 6]
    with pytest.raises(ClientDisconnected):
        call(reader)
    assert reader.tell() == 6


def test_lines_before_a_failure_are_readable_first() -> None:
    reader = arriving(b"ab\nc", b"d\nef", ending=GONE)
    lines = iter(reader)
    assert [next(lines), next(lines), reader.tell()] == [b"ab\n", b"cd\n", 6]
    with pytest.raises(ClientDisconnected):
        next(lines)
    with pytest.raises(ClientDisconnected):
        next(reader)


def test_a_source_may_raise_anything() -> None:
    error = LookupError("what receive() raised")
    reader = BodyReader(Arriving([b"abc"], error), NO_LOOP)
    with pytest.raises(LookupError) as caught:
        reader.read()
    assert caught.value is error
