"""SpooledReader answers as io.BufferedReader over a file would, seeking included."""

import io
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from asgi_bridge import BodyReader, BodyTooLarge, ClientDisconnected, SpooledReader, WrongThread
from asgi_bridge.spool import IN_MEMORY_BYTES, Spool

from .sources import Arriving, arriving, split

MIB = 1024 * 1024


def spooled(*chunks: bytes, limit: int = 4 * MIB, ending: Exception | None = None) -> SpooledReader:
    return SpooledReader(arriving(*chunks, ending=ending), limit)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a reader that also seeks; `number` is a size, or where to."""

    name: str
    number: int = 0


# Also more than the reader's own buffer of 64 KiB, so that a seek can leave what it holds.
bodies = st.builds(
    lambda parts, times: b"".join(parts) * times,
    st.lists(st.sampled_from([b"\n", b"a", b"bc\n", b"d" * 70]), max_size=8),
    st.sampled_from([1, 1000]),
)
numbers = st.integers(0, 100) | st.integers(0, 200_000)
SEEKS = ("seek", "seek back", "seek on", "seek from the end", "seek beyond the end")
READS = ("read", "read()", "read1", "readinto", "readline", "peek", "tell")
steps = st.builds(Step, st.sampled_from([*READS, *SEEKS]), numbers)


def take(file: io.BufferedIOBase, step: Step, length: int) -> object:
    """Make one step; what comes of it."""
    number = step.number
    match step.name:
        case "read":
            return file.read(number)
        case "read()":
            return file.read()
        case "readinto":
            buffer = bytearray(number)
            return file.readinto(buffer), buffer
        case "readline":
            return file.readline(number)
        case "tell":
            return file.tell()
        case "seek":
            return file.seek(number)
        case "seek back":
            return file.seek(-min(number, file.tell()), io.SEEK_CUR)
        case "seek on":
            return file.seek(number, io.SEEK_CUR)
        case "seek from the end":
            return file.seek(-min(number, length), io.SEEK_END)
        case _:
            return file.seek(number, io.SEEK_END)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=250)
@given(
    body=bodies,
    cuts=st.lists(numbers, max_size=8),
    sequence=st.lists(steps, max_size=12),
)
@example(body=b"ab", cuts=[1], sequence=[Step("seek beyond the end", 5), Step("read()")])
def test_every_sequence_of_calls(body: bytes, cuts: list[int], sequence: list[Step]) -> None:
    model = io.BufferedReader(io.BytesIO(body))
    with spooled(*split(body, cuts)) as reader:
        for step in sequence:
            if step.name in ("read1", "peek"):  # how much is the server's business
                before = model.tell()
                size = max(step.number, 1)
                taken = reader.read1(size) if step.name == "read1" else reader.peek(size)
                if step.name == "peek":
                    assert reader.tell() == before
                    reader.seek(before + len(taken))
                assert body.startswith(taken, before) or not taken
                assert taken or before >= len(body), step
                model.seek(before + len(taken))
            else:
                assert take(reader, step, len(body)) == take(model, step, len(body)), step
            assert reader.tell() == model.tell(), step
        assert reader.read() == model.read()
        assert (reader.seek(0), reader.read()) == (0, body)


def test_it_is_a_body_reader_that_can_seek() -> None:
    with spooled(b"ab") as reader:
        assert isinstance(reader, BodyReader)
        assert (reader.readable(), reader.seekable(), reader.writable()) == (True, True, False)


def test_chunks_are_the_rest() -> None:
    body = b"abcdefgh" * (MIB // 8) + b"the end"
    with spooled(*split(body, range(0, len(body), 100_000))) as reader:
        assert reader.read(3) == b"abc"
        chunks = list(reader.chunks())
        assert b"".join(chunks) == body[3:]
        assert max(map(len, chunks)) <= 64 * 1024
        assert list(reader.chunks()) == []
        reader.seek(-7, io.SEEK_END)
        assert list(reader.chunks()) == [b"the end"]


def test_it_takes_no_more_than_it_needs() -> None:
    source = Arriving([b"a" * 10, b"b" * 10, b"c" * 10])
    with SpooledReader(BodyReader(source, 0), MIB) as reader:
        reader.seek(25)
        assert source.released == 0
        reader.seek(5)
        assert (reader.read1(3), source.released) == (b"a" * 3, 10)
        reader.seek(0, io.SEEK_END)
        assert source.released == 30


@pytest.mark.parametrize("whence", [io.SEEK_SET, io.SEEK_CUR, io.SEEK_END])
def test_nothing_is_before_the_beginning(whence: int) -> None:
    with spooled(b"ab") as reader:
        with pytest.raises(ValueError, match="cannot seek to -"):
            reader.seek(-3, whence)
        assert reader.read() == b"ab"


def test_an_unknown_whence_is_refused() -> None:
    with spooled(b"ab") as reader, pytest.raises(ValueError, match="whence"):
        reader.seek(0, 9)
    with Spool(arriving(b"ab"), MIB) as raw, pytest.raises(ValueError, match="0, 1 or 2, not 9"):
        raw.seek(0, 9)


# Its bounds.


@pytest.mark.parametrize(
    "call",
    [lambda reader: reader.read(), lambda reader: reader.seek(0, io.SEEK_END)],
    ids=["read", "seek"],
)
def test_more_than_it_may_keep(call: Callable[[SpooledReader], object]) -> None:
    with spooled(b"abcd", b"efgh", b"i", limit=8) as reader:
        with pytest.raises(BodyTooLarge) as caught:
            call(reader)
        assert caught.value.limit == 8


def test_as_much_as_it_may_keep() -> None:
    with spooled(b"abcd", b"efgh", limit=8) as reader:
        assert reader.read() == b"abcdefgh"


def test_a_failure_is_no_end() -> None:
    gone = ClientDisconnected("the client went away after 6 bytes of the body")
    with spooled(b"abc", b"def", ending=gone) as reader:
        assert reader.read(6) == b"abcdef"
        for _ in range(2):
            with pytest.raises(ClientDisconnected):
                reader.read(1)
            with pytest.raises(ClientDisconnected):
                reader.seek(0, io.SEEK_END)
        reader.seek(2)
        assert reader.read(4) == b"cdef"  # what came is still there


# Its file.


@pytest.mark.parametrize("size", [10, IN_MEMORY_BYTES + 10], ids=["in memory", "on disk"])
def test_closing_closes_the_file_and_the_body(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tempfile.SpooledTemporaryFile[bytes]] = []

    class Recorded(tempfile.SpooledTemporaryFile[bytes]):
        def __init__(self, max_size: int) -> None:
            super().__init__(max_size)
            made.append(self)

    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", Recorded)
    body = arriving(b"a" * size, b"the rest")
    reader = SpooledReader(body, 2 * MIB)
    assert reader.read(size) == b"a" * size
    assert [each.closed for each in made] == [False]
    reader.close()
    assert [each.closed for each in made] == [True]
    assert (reader.closed, body.closed) == (True, True)
    for call in (reader.read, reader.tell, reader.peek, lambda: reader.seek(0)):
        with pytest.raises(ValueError, match="closed file"):
            call()
    reader.close()  # once more does nothing


def test_the_loop_thread_may_open_it_and_not_read_it() -> None:
    body = BodyReader(Arriving([b"ab", b"cd"]), threading.get_ident())
    with SpooledReader(body, MIB) as reader:
        for call in (reader.read, lambda: reader.seek(0, io.SEEK_END)):
            with pytest.raises(WrongThread):
                call()
        came: list[object] = []

        def read() -> None:
            came.extend([reader.tell(), reader.read(3), reader.seek(1), reader.read()])

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        thread.join(timeout=10)
        assert came == [0, b"abc", 1, b"bcd"]
