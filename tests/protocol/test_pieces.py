"""pieces: any chunks and any limit; the same bytes, joined and split as promised."""

from collections import deque

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asgi_bridge.protocol.pieces import pieces

CHUNKS = st.lists(st.binary(max_size=30), max_size=20)
LIMITS = st.integers(1, 25)


def cut(chunks: list[bytes], limit: int) -> list[bytes]:
    """All pieces of a run of chunks."""
    run = deque(chunks)
    made = list(pieces(run, limit))
    assert not run  # emptied
    return made


@pytest.mark.parametrize(
    ("chunks", "made"),
    [
        ([], []),
        ([b""], []),
        ([b"", b""], []),
        ([b"ab"], [b"ab"]),
        ([b"abcd"], [b"abcd"]),
        ([b"ab", b"cd"], [b"abcd"]),
        ([b"ab", b"", b"cd"], [b"abcd"]),
        ([b"ab", b"cde"], [b"ab", b"cde"]),
        ([b"a", b"b", b"c", b"d", b"e"], [b"abcd", b"e"]),
        ([b"abcdefgh"], [b"abcd", b"efgh"]),
        ([b"abcdef"], [b"abcd", b"ef"]),
        ([b"abcdef", b"gh"], [b"abcd", b"efgh"]),
        ([b"abcdef", b"ghi"], [b"abcd", b"ef", b"ghi"]),
        ([b"a", b"bcdefg"], [b"a", b"bcde", b"fg"]),
        ([b"abcdefgh", b"i"], [b"abcd", b"efgh", b"i"]),
    ],
)
def test_examples_at_four_bytes(chunks: list[bytes], made: list[bytes]) -> None:
    assert cut(chunks, 4) == made


@given(chunks=CHUNKS, limit=LIMITS)
def test_bytes_are_the_same_and_every_piece_is_within_the_limit(
    chunks: list[bytes], limit: int
) -> None:
    made = cut(chunks, limit)
    assert b"".join(made) == b"".join(chunks)
    assert all(1 <= len(piece) <= limit for piece in made)
    assert all(type(piece) is bytes for piece in made)


@given(chunks=CHUNKS, limit=LIMITS)
@example(chunks=[b"abcd", b"ef"], limit=4)
@example(chunks=[b"abcdef", b"gh"], limit=4)
def test_neighbours_are_joined_as_long_as_they_fit(chunks: list[bytes], limit: int) -> None:
    """A piece ends inside a chunk only where that is longer than the limit, a whole limit in;
    and before a chunk only because that would not have fitted."""
    chunks = [chunk for chunk in chunks if chunk]
    begins: dict[int, int] = {}  # where each chunk begins -> its size
    inside: set[int] = set()  # where a long chunk may be cut
    offset = 0
    for chunk in chunks:
        begins[offset] = len(chunk)
        inside.update(range(offset + limit, offset + len(chunk), limit))
        offset += len(chunk)
    offset = 0
    for piece in cut(chunks, limit)[:-1]:
        offset += len(piece)
        assert offset in inside or len(piece) + begins[offset] > limit


@given(chunks=CHUNKS, limit=LIMITS)
@example(chunks=[b"", b"abcd"], limit=4)
@example(chunks=[b"abcdefgh", b"ijkl"], limit=4)
def test_piece_that_is_one_whole_chunk_is_that_chunk(chunks: list[bytes], limit: int) -> None:
    whole = {}
    offset = 0
    for chunk in filter(None, chunks):
        whole[offset, len(chunk)] = chunk
        offset += len(chunk)
    offset = 0
    for piece in cut(chunks, limit):
        assert whole.get((offset, len(piece)), piece) is piece
        offset += len(piece)


def test_chunks_are_let_go_as_they_are_worked_through() -> None:
    run = deque([b"abc", b"def", b"ghi"])
    made = pieces(run, 3)
    assert next(made) == b"abc"
    assert len(run) == 1
    assert next(made) == b"def"
    assert len(run) == 0
    assert list(made) == [b"ghi"]
