"""How chunks become messages: small ones joined, large ones split."""

from collections import deque
from collections.abc import Iterator

from ..types import Message


def pieces(chunks: deque[bytes], limit: int) -> Iterator[bytes]:
    """Cut a run of chunks into message bodies of at most `limit` bytes, in order.

    Neighbours are joined as long as they fit; a chunk that fits as it is is not copied. Empty
    chunks vanish.

    Args:
        chunks: emptied as it is worked through, so that what has been sent is let go.
        limit: most bytes of one message, at least 1.

    Why there is a limit: servers hold a number of messages of any size for a client that is slow
    (measured: one or four), so small messages are what bounds their memory.
    """
    joined: list[bytes] = []
    size = 0
    while chunks:
        chunk = chunks.popleft()
        if not chunk:
            continue
        if size + len(chunk) <= limit:
            joined.append(chunk)
            size += len(chunk)
            continue
        if joined:
            yield joined[0] if len(joined) == 1 else b"".join(joined)
            joined, size = [], 0
        if len(chunk) <= limit:
            joined, size = [chunk], len(chunk)
            continue
        for piece in cuts(chunk, limit):
            if len(piece) < limit:  # the last, to which others may be joined
                joined, size = [piece], len(piece)
            else:
                yield piece
    if joined:
        yield joined[0] if len(joined) == 1 else b"".join(joined)


def cuts(chunk: bytes, limit: int) -> Iterator[bytes]:
    """Cut a large chunk into messages of `limit` bytes, of which the last may have fewer."""
    with memoryview(chunk) as view:
        for begin in range(0, len(chunk), limit):
            yield bytes(view[begin : begin + limit])


def body(chunk: bytes, *, more_body: bool) -> Message:
    """A message of a response's body."""
    return {"type": "http.response.body", "body": chunk, "more_body": more_body}
