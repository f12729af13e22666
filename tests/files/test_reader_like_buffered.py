"""BodyReader answers as io.BufferedReader would, whatever is called and however the body is cut."""

import io
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asgi_bridge import BodyReader

from .sources import NO_LOOP, Arriving, split


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a method, or of what stands for one here."""

    name: str
    size: int | None = None


# What must be equal to the byte; and what may come in other pieces, as long as the bytes are right.
EXACT = (
    *("read", "readinto", "readline", "readlines"),  # with a size
    *("read()", "readline()", "readlines()", "tell", "next", "list"),  # without one
    *(
        "lines",
        "iterator",
    ),  # some lines: of a new iterator, of the one that was there from the start
)
LOOSE = ("read1", "read1()", "readinto1", "peek", "chunks")

# Newlines alone, side by side and far apart; and more than peek shows by itself.
PARTS = (b"\n", b"a", b"bc\n", b"defgh", b"\r\n", b"i" * 50, b"j" * 9000)
bodies = st.lists(st.sampled_from(PARTS), max_size=12).map(b"".join)
cuts = st.lists(st.integers(1, 100) | st.integers(1, 20_000), max_size=12)
sizes = st.integers(0, 60) | st.sampled_from([5000, 30_000])
unbounded = st.sampled_from([None, -1])
calls = (
    st.builds(Call, st.sampled_from(EXACT[:1] + EXACT[2:4]), sizes | unbounded)
    | st.builds(Call, st.just("readinto"), sizes)
    | st.builds(Call, st.sampled_from(EXACT[4:10]))
    | st.builds(Call, st.sampled_from(EXACT[10:]), st.integers(0, 4))
    | st.builds(Call, st.sampled_from(LOOSE), sizes)
)

READERS: dict[str, Callable[[list[bytes]], BodyReader]] = {
    "all at once": lambda chunks: BodyReader(None, NO_LOOP, deque(chunks)),
    "one at a time": lambda chunks: BodyReader(Arriving(chunks), NO_LOOP),
}


def exact(file: io.BufferedIOBase, lines: Iterator[bytes], call: Call) -> object:
    """Make one of the EXACT calls; what comes of it, and where the file stands then."""
    size = call.size
    answer: object
    match call.name:
        case "read":
            answer = file.read(size)
        case "read()":
            answer = file.read()
        case "readinto":
            assert size is not None, "a buffer has a size"
            buffer = bytearray(size)
            answer = (file.readinto(buffer), buffer)
        case "readline":
            answer = file.readline(size)
        case "readline()":
            answer = file.readline()
        case "readlines":
            answer = file.readlines(size)  # type: ignore[arg-type]  # None is fine, whatever the stub says
        case "readlines()":
            answer = file.readlines()
        case "tell":
            answer = file.tell()
        case "next":
            answer = next(file, None)
        case "list":
            answer = list(file)
        case "lines":
            answer = list(islice(file, size))
        case _:
            answer = list(islice(lines, size))
    return answer, file.tell()


def loose(reader: BodyReader, call: Call) -> bytes:
    """Make one of the LOOSE calls; the bytes that it took."""
    size = call.size or 0
    match call.name:
        case "read1":
            taken = reader.read1(size)
            assert len(taken) <= size
        case "read1()":
            taken = reader.read1()
        case "readinto1":
            buffer = bytearray(size)
            taken = bytes(buffer[: reader.readinto1(buffer)])
        case "peek":
            before = reader.tell()
            seen = reader.peek(size)
            assert reader.tell() == before
            taken = reader.read1(len(seen))
            assert taken == seen
        case _:
            pieces = list(islice(reader.chunks(), size % 4))
            assert all(pieces)
            taken = b"".join(pieces)
    return taken


def takes_something(call: Call) -> bool:
    match call.name:
        case "read1" | "readinto1":
            return call.size != 0
        case "chunks":
            return (call.size or 0) % 4 != 0
    return True


def compare(body: bytes, reader: BodyReader, sequence: list[Call]) -> None:
    """Make the same calls on a reader and on an io.BufferedReader."""
    model = io.BufferedReader(io.BytesIO(body))
    reader_lines, model_lines = iter(reader), iter(model)
    for call in sequence:
        if call.name in EXACT:
            assert exact(reader, reader_lines, call) == exact(model, model_lines, call), call
            continue
        before = model.tell()
        taken = loose(reader, call)
        assert body.startswith(taken, before), call
        assert taken or before == len(body) or not takes_something(call), call
        model.seek(before + len(taken))
        assert reader.tell() == model.tell(), call
    assert reader.read() == model.read()
    ends = [reader.read(), reader.read(5), reader.read1(), reader.readline(), reader.peek()]
    assert ends == [b""] * 5
    assert list(reader.chunks()) == list(reader) == reader.readlines() == []
    assert reader.tell() == len(body)


@pytest.mark.parametrize("reader_of", READERS.values(), ids=READERS)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=250)
@given(body=bodies, cuts=cuts, sequence=st.lists(calls, max_size=12))
def test_every_sequence_of_calls(
    reader_of: Callable[[list[bytes]], BodyReader],
    body: bytes,
    cuts: list[int],
    sequence: list[Call],
) -> None:
    compare(body, reader_of(split(body, cuts)), sequence)


@pytest.mark.parametrize("size", [1, 3])
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=50)
@given(body=bodies.map(lambda body: body[:300]), sequence=st.lists(calls, max_size=12))
def test_chunks_of_a_byte_or_three(size: int, body: bytes, sequence: list[Call]) -> None:
    compare(body, BodyReader(Arriving(split(body, range(0, len(body), size))), NO_LOOP), sequence)


@pytest.mark.parametrize("name", [*EXACT, *LOOSE])
@pytest.mark.parametrize("body", [b"", b"\n", b"ab\ncd", b"ab\ncd\n"])
def test_every_call_as_the_first(body: bytes, name: str) -> None:
    size = None if name.endswith("()") else 20
    compare(body, BodyReader(Arriving(split(body, range(len(body)))), NO_LOOP), [Call(name, size)])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=50)
@given(body=bodies, cuts=cuts, sequence=st.lists(calls, max_size=12))
def test_all_room_is_given_back(body: bytes, cuts: list[int], sequence: list[Call]) -> None:
    source = Arriving(split(body, cuts))
    compare(body, BodyReader(source, NO_LOOP), sequence)
    assert source.released == len(body)
