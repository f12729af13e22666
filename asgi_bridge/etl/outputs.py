"""What a transform returns or yields, as bytes; and the content-type that goes with it."""

from typing import Any, Final, TypeAlias

Output: TypeAlias = bytes | bytearray | memoryview | str | None

_ACCEPTED: Final = "bytes, bytearray, memoryview, str or None"


def content_of(output: object) -> bytes | memoryview:
    """The bytes that a buffered transform has returned, without a copy.

    Raises:
        TypeError: they are none; the message says what came.
    """
    if type(output) is bytes:
        return output
    if output is None:
        return b""
    if isinstance(output, str):
        return output.encode()
    if isinstance(output, bytes | bytearray | memoryview):
        return flat(output)
    raise TypeError(f"transform() must return {_ACCEPTED}, not {type(output).__name__}")


def chunk_of(chunk: Any) -> bytes:
    """The bytes of a chunk that a streaming transform has yielded, copied unless they are `bytes`.

    Raises:
        TypeError: they are none; the message says what came.
    """
    if type(chunk) is bytes:
        return chunk
    if isinstance(chunk, str):
        return chunk.encode()
    try:
        return memoryview(chunk).tobytes()
    except TypeError:
        raise TypeError(
            f"transform_stream() must yield bytes-like objects or str, not {type(chunk).__name__}"
        ) from None


def flat(output: bytes | bytearray | memoryview) -> memoryview:
    """A view of bytes, whatever the items and the dimensions are."""
    view = memoryview(output)
    return view.cast("B") if view.c_contiguous else memoryview(view.tobytes())


def content_type(mime_type: str) -> str:
    """A content-type with the charset of text, as AIStore's own server sends it."""
    if mime_type.startswith("text/") and "charset=" not in mime_type.lower():
        return f"{mime_type}; charset=utf-8"
    return mime_type
