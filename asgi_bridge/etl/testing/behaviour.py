"""One request at a fake: read its body, do what was ordered or what is due."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from .conversation import Conversation, Cut
from .faults import (
    Close,
    Fault,
    Framing,
    Headers,
    Raw,
    Reset,
    Slow,
    Stall,
    StallAnswer,
    Status,
    Truncate,
    When,
)
from .record import Arrival, Received, Records

PIECE: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer.

    Attributes:
        status: of the answer.
        body: of the answer.
        headers: of the answer, without its framing.
    """

    status: int = 200
    body: bytes = b""
    headers: Headers = ()


Respond = Callable[[Received], Reply]


class Behaviour:
    """Answers one request on one connection.

    Args:
        conversation: the connection.
        request: whose head has come.
        records: told of what comes of its body.
        closing: set once the fake ends; whoever waits here is woken by it.
    """

    def __init__(
        self,
        conversation: Conversation,
        request: Received,
        records: Records,
        closing: threading.Event,
    ) -> None:
        self._conversation = conversation
        self._request = request
        self._records = records
        self._closing = closing

    def act(self, fault: Fault | None, respond: Respond) -> None:
        """Do what the fault says, or read the body and answer as is due.

        Raises:
            Cut: the connection ended before the request did.
            OSError: it ended within the answer.
        """
        match fault:
            case None:
                self._take_in(None)
                self._answer(respond(self._request), PIECE, 0.0)
            case Slow(piece_bytes=piece_bytes, pause=pause):
                self._take_in(None)
                self._answer(respond(self._request), piece_bytes, pause)
            case Status():
                self._refuse(fault)
            case Raw(answer=answer):
                self._take_in(None)
                self._conversation.raw(answer)
                self._conversation.close()
            case Reset(after_bytes=after_bytes):
                self._take_in(after_bytes)
                self._conversation.reset()
            case Close(after_bytes=after_bytes):
                self._close(after_bytes)
            case Stall(after_bytes=after_bytes, seconds=seconds):
                self._take_in(after_bytes)
                self._stall(seconds)
            case _:
                self._take_in(None)
                self._begin_only(fault, respond(self._request))

    def stream(self, answer: Callable[[Iterable[bytes]], Iterable[bytes]]) -> None:
        """Answer 200 with what is made of the body, chunk by chunk, while it still comes.

        Raises:
            Cut: the connection ended before the request did.
            OSError: it ended within the answer.
        """
        self._conversation.start(200, (), Framing.CHUNKED)
        for chunk in answer(self._chunks()):
            self._conversation.chunk(chunk)
        self._conversation.end()

    def _chunks(self) -> Iterator[bytes]:
        """The body as it comes, noted; its ending is noted, too."""
        try:
            for chunk in self._conversation.body():
                self._records.grow(self._request, chunk)
                yield chunk
        except Cut:
            self._records.arrived(self._request, Arrival.CUT)
            raise
        self._records.arrived(self._request, Arrival.COMPLETE)

    def _take_in(self, most: int | None) -> None:
        """Read the body, or its first bytes up to a count."""
        if most != 0:
            for _ in self._chunks():
                if most is not None and len(self._request.body) >= most:
                    break
        self._records.arrived(self._request, Arrival.UNREAD)

    def _answer(self, reply: Reply, piece_bytes: int, pause: float) -> None:
        self._closing.wait(pause)
        self._conversation.start(reply.status, reply.headers, len(reply.body))
        for position in range(0, len(reply.body), piece_bytes):
            self._closing.wait(pause)
            self._conversation.chunk(reply.body[position : position + piece_bytes])
        self._conversation.end()

    def _refuse(self, fault: Status) -> None:
        self._take_in(0 if fault.when is When.BEFORE_BODY else None)
        self._answer(Reply(fault.status, fault.body, fault.headers), PIECE, 0.0)
        if not self._conversation.reusable:
            self._conversation.end_sending()
            self._closing.wait(fault.linger)

    def _close(self, after_bytes: int | None) -> None:
        self._take_in(after_bytes)
        self._conversation.end_sending()
        if after_bytes is not None:
            # a close() with bytes unread would be a reset; so they are read, and thrown away
            with suppress(Cut):
                deque(self._conversation.body(), maxlen=0)

    def _stall(self, seconds: float) -> None:
        self._closing.wait(seconds)
        self._conversation.reset()

    def _begin_only(self, fault: Truncate | StallAnswer, reply: Reply) -> None:
        chunked = isinstance(fault, Truncate) and fault.framing is Framing.CHUNKED
        framing = Framing.CHUNKED if chunked else len(reply.body)
        self._conversation.start(reply.status, reply.headers, framing)
        if part := reply.body[: fault.after_bytes]:
            self._conversation.chunk(part)
        if isinstance(fault, StallAnswer):
            self._stall(fault.seconds)
        elif fault.reset:
            self._conversation.reset()
        else:
            self._conversation.close()
