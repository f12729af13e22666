"""Where an intake's pump puts what comes: four places, one at a time. Loop thread only."""

from collections import deque
from typing import Final, Protocol

from ..crossing.body_channel import JOINED, TINY, BodyChannel
from ..protocol.request import OPEN, REFUSED, RequestBody
from ..types import Message


class Sink(Protocol):
    """Where messages go."""

    def put(self, message: Message, chunk: bytes) -> bool:
        """Take a message, and the part of the body that it brought; then as `has_room`."""

    def put_earlier(self, chunk: bytes) -> None:
        """Take a part of the body that came before what `put` took last; more will follow."""

    def has_room(self) -> bool:
        """Whether the pump may fetch another; where not, the pump's waiter is rung in time."""

    def unread(self) -> int:
        """Bytes that are held, or are taken and not used up."""


# What a message counts beside its bytes, so that empty and tiny ones are bounded, too: about what
# its dictionary takes (sys.getsizeof of one with three keys: 184 bytes, and its chunk's object).
MESSAGE_COST: Final = 256


class ForApplication:
    """Messages as they came, for an application that reads them itself.

    What ends wrongly has no last message here: the application's receive() raises instead.

    Args:
        limit: bytes at which the pump stops.
        body: what the request's body has come to.
    """

    def __init__(self, limit: int, body: RequestBody) -> None:
        self.messages: deque[Message] = deque()
        self._limit = limit
        self._body = body
        self._held = 0  # what the messages count

    def put(self, message: Message, chunk: bytes) -> bool:
        if self._body.error is not None:
            # a disconnect, which is latched by the intake; or a part that is refused
            return self._body.phase is not REFUSED
        if message["type"] == "http.disconnect":
            return True
        self.messages.append(message)
        self._held += len(chunk) + MESSAGE_COST
        return self.has_room()

    def put_earlier(self, chunk: bytes) -> None:
        self.messages.append({"type": "http.request", "body": chunk, "more_body": True})
        self._held += len(chunk) + MESSAGE_COST

    def has_room(self) -> bool:
        return self._held < self._limit

    def unread(self) -> int:
        return self._held

    def pop(self) -> Message:
        """The oldest message."""
        message = self.messages.popleft()
        self._held -= len(message.get("body", b"")) + MESSAGE_COST
        return message

    def take_chunks(self) -> deque[bytes]:
        """Everything, as chunks for a reader that has claimed the body; none is empty."""
        messages, self.messages = self.messages, deque()
        self._held = 0
        return deque(chunk for message in messages if (chunk := message.get("body", b"")))


class ForLater:
    """The body's bytes, for a reader that has claimed it and is not there yet.

    Args:
        limit: bytes at which the pump stops.
        chunk: the first of them, if there is one.
    """

    __slots__ = ("_chunks", "_held", "_limit")

    def __init__(self, limit: int, chunk: bytes = b"") -> None:
        self._chunks: deque[bytes] = deque((chunk,) if chunk else ())  # none is empty
        self._limit = limit
        self._held = len(chunk)

    def put(self, message: Message, chunk: bytes) -> bool:
        if chunk:
            if len(chunk) <= TINY and self._chunks and len(self._chunks[-1]) < JOINED:
                self._chunks[-1] += chunk
            else:
                self._chunks.append(chunk)
            self._held += len(chunk)
        return self.has_room()

    def has_room(self) -> bool:
        return self._held < self._limit

    def put_earlier(self, chunk: bytes) -> None:
        raise AssertionError("nothing goes the way round before there is a reader")

    def unread(self) -> int:
        return self._held

    def take_chunks(self) -> deque[bytes]:
        """Everything; what comes from now on is for another place."""
        return self._chunks


class ForReader:
    """The body's bytes, for a reader on a worker thread."""

    def __init__(self, channel: BodyChannel, body: RequestBody) -> None:
        self._channel = channel
        self._body = body

    def put(self, message: Message, chunk: bytes) -> bool:
        room = not chunk or self._put(chunk)
        if self._body.phase is not OPEN:
            self._channel.end(self._body.error)
            # the rest of a body that is refused is taken in by drain, if at all
            return self._body.phase is not REFUSED
        return room

    def put_earlier(self, chunk: bytes) -> None:
        self._put(chunk)  # and not its end, which the body may have come to since

    def _put(self, chunk: bytes) -> bool:
        # All that is raised is why the channel is broken: a reader that has given up, or was let
        # go, wants no more of it. The client may still have to be heard out.
        try:
            if len(chunk) <= TINY:
                return self._channel.put_tiny(chunk)
            return self._channel.put_nowait(chunk, len(chunk))
        except Exception:  # not `suppress`, which would cost a chunk half a microsecond
            return True

    def has_room(self) -> bool:
        return self._channel.ended or self._channel.has_room()

    def unread(self) -> int:
        return self._channel.statistics().held_bytes


class Nowhere:
    """Thrown away, for a body that nobody will read."""

    def put(self, message: Message, chunk: bytes) -> bool:
        return True

    def put_earlier(self, chunk: bytes) -> None:
        raise AssertionError("nothing goes the way round to nowhere")

    def has_room(self) -> bool:
        return True

    def unread(self) -> int:
        raise AssertionError("nobody asks: there is always room")
