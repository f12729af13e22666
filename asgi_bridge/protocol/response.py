# What this module decides: which messages of one HTTP response the server may see, and when.
#
# Rule 1: nothing here waits, and nothing here knows the connection.
# Rule 2: a start is released together with the first message that carries content, and only
#         then. ASGI (HTTP sub-spec, Response Start) lets a server wait for the body but does not
#         make it; PEP 3333 made it a must for WSGI, for the reason that counts here too: until
#         then a failure can still become an honest status.
# Rule 3: the head of an event stream, and of others that are made of events, is its content: who
#         has subscribed waits for it before anything happens. So their start is not held.
# Rule 4: a message without a rule is passed on at once, in order, unchanged.
# Rule 5: an end is never made up for an application that failed.
# Rule 6: a declared content-length is a promise (RFC 9110, 8.6). Most servers see to it that it is
#         kept, in ways of their own. For those that do not (quirks.py) a message that breaks it is
#         refused here: a byte too many would be taken for the next response.
# Rule 7: what answers a HEAD has no content (RFC 9110, 9.3.2). For servers that pass on what an
#         application sends all the same its bytes end here; the headers stay as they are.
"""The response gate: one table, and the start that it holds back."""

from collections.abc import Iterable, Mapping
from typing import Final

from ..errors import LengthMismatch, ResponseIncomplete, ResponseOrderError
from ..types import Message
from .word import Word


class Phase(Word):
    """How far one HTTP response has got on its way to the server."""

    INITIAL = "initial"  # no http.response.start yet
    HELD = "held"  # the start is kept here; the server has seen nothing
    STREAMING = "streaming"  # the start is released, more body may come
    TRAILERS = "trailers"  # the body is over, the promised trailers are not
    COMPLETE = "complete"  # the last message has been passed on


class Signal(Word):
    """What a message means to the table."""

    START = "start"
    EVENT_STREAM = "start of an event stream"
    MORE_BODY = "body, more to come"
    LAST_BODY = "last body"
    BODY_BEFORE_TRAILERS = "last body before trailers"
    MORE_TRAILERS = "trailers, more to come"
    LAST_TRAILERS = "last trailers"


TRANSITIONS: Final[Mapping[tuple[Phase, Signal], Phase]] = {
    (Phase.INITIAL, Signal.START): Phase.HELD,
    (Phase.INITIAL, Signal.EVENT_STREAM): Phase.STREAMING,
    (Phase.HELD, Signal.MORE_BODY): Phase.STREAMING,
    (Phase.HELD, Signal.LAST_BODY): Phase.COMPLETE,
    (Phase.HELD, Signal.BODY_BEFORE_TRAILERS): Phase.TRAILERS,
    (Phase.HELD, Signal.MORE_TRAILERS): Phase.TRAILERS,
    (Phase.HELD, Signal.LAST_TRAILERS): Phase.COMPLETE,
    (Phase.STREAMING, Signal.MORE_BODY): Phase.STREAMING,
    (Phase.STREAMING, Signal.LAST_BODY): Phase.COMPLETE,
    (Phase.STREAMING, Signal.BODY_BEFORE_TRAILERS): Phase.TRAILERS,
    (Phase.TRAILERS, Signal.MORE_TRAILERS): Phase.TRAILERS,
    (Phase.TRAILERS, Signal.LAST_TRAILERS): Phase.COMPLETE,
}

# pathsend has no more_body key: the file is all of the body (ASGI extension, Path Send).
_CONTENT: Final = frozenset(
    {"http.response.body", "http.response.zerocopysend", "http.response.pathsend"}
)
# The signals of every response; a global is found in half the time of an enum's member.
_START: Final = Signal.START
_EVENT_STREAM_START: Final = Signal.EVENT_STREAM
_MORE_BODY: Final = Signal.MORE_BODY
_LAST_BODY: Final = Signal.LAST_BODY
TYPE_SIZE: Final = len(b"content-type")
LENGTH_SIZE: Final = len(b"content-length")
_BODILESS: Final = frozenset({204, 304})  # their content-length is not that of a body
# Bodies that are made of events.
EVENT_STREAMS: Final = (
    b"text/event-stream",
    b"application/jsonl",
    b"application/x-ndjson",
    b"application/json-seq",
    b"application/stream+json",
    b"multipart/x-mixed-replace",
)
EVENT_STREAM_SIZE: Final = min(map(len, EVENT_STREAMS))


def promises_of(start: Message) -> tuple[bool, int | None]:
    """What a start says of the body: whether it is one of events, and the length it declares.

    Returns:
        No length, too, where the status has no body that a length could be of.
    """
    streams, declared = False, None
    headers: Iterable[tuple[bytes, bytes]] = start.get("headers", ())
    for name, value in headers:
        size = len(name)  # asked first: it spares most names a copy
        if size == LENGTH_SIZE and name.lower() == b"content-length":
            # what is no number promises nothing; int() refuses thousands of digits
            declared = int(value) if value.isdigit() and len(value) <= 18 else None
        elif size == TYPE_SIZE and name.lower() == b"content-type":
            if len(value) >= EVENT_STREAM_SIZE and value.lower().startswith(EVENT_STREAMS):
                streams = True
    if declared is not None and start["status"] in _BODILESS:
        declared = None
    return streams, declared


class ResponseGate:
    """Holds one response's start until there is content to go with it.

    Args:
        head_request: the request's method is HEAD, so there is no body, nor a length to hold it to.
        strict: the server passes on what breaks rule 6 or 7.

    Attributes:
        phase: how far the response has got; to be read only.

    Threads: none of its own and no locks; whoever owns the exchange calls it.
    """

    # Here once, and not in each: most responses change two of them.
    phase = Phase.INITIAL
    _start: Message | None = None  # set exactly while the phase is HELD
    _declared: int | None = None  # the content-length to hold the body to
    _sent = 0  # bytes of body so far; counted where a length is declared
    _last_body = Signal.LAST_BODY  # what the body's last message is; another where trailers follow

    def __init__(self, *, head_request: bool = False, strict: bool = True) -> None:
        self._head_request = head_request
        self._strict = strict

    def feed(self, message: Message) -> tuple[Message, ...]:
        """Take the application's next message; return what the server may see now.

        The state has moved before anything is returned, so an adapter that is cancelled or
        called again while it forwards these can never release a start twice.

        Args:
            message: any ASGI message; types without a rule come back at once.

        Returns:
            The messages to forward, in order, possibly none.

        Raises:
            ResponseOrderError: the message is not allowed now; nothing has changed.
            LengthMismatch: with it the body is longer, or ends shorter, than the start has
                declared, and the server would pass it on; nothing has changed.
        """
        kind = message["type"]
        if kind == "http.response.start":
            return self._begin(message)
        signal: Signal | None
        if kind == "http.response.body":  # asked first: every response has one
            signal = _MORE_BODY if message.get("more_body") else self._last_body
        else:
            signal = self._signal_of(message, kind)
            if signal is None:
                return (message,)
        phase = TRANSITIONS.get((self.phase, signal))
        if phase is None:
            raise ResponseOrderError(self.phase, kind)
        if self._declared is not None:
            self._count(message, self._declared)
        self.phase = phase
        if self._head_request and self._strict and message.get("body"):
            message = {**message, "body": b""}
        start = self._start
        if start is None:
            return (message,)
        self._start = None
        return (start, message)

    def finish(self) -> tuple[Message, ...]:
        """The application returned: release a start that never got its body.

        Returns:
            The messages that complete the response, none where it is complete or never began.

        Raises:
            LengthMismatch: the held start has declared a body.
            ResponseIncomplete: the body had begun and is not over. What the server has is an abort,
                and must not be made to look like an end. Trailers that are missing after all of
                the body are left to the server, which was promised them.
        """
        match self.phase:
            case Phase.HELD if self._declared and not self._strict:
                return ()  # nothing was sent, and the server says so
            case Phase.HELD:
                end = self.feed({"type": "http.response.body", "body": b"", "more_body": False})
                if self._last_body is not _LAST_BODY:  # the server waits for what it was promised
                    end += self.feed({"type": "http.response.trailers", "headers": []})
                return end
            case Phase.STREAMING:
                raise ResponseIncomplete(
                    f"the application returned while its response was {self.phase}"
                )
            case _:
                return ()

    def let_go(self) -> tuple[Message, ...]:
        """The start has been held long enough: what the server may see now, possibly nothing.

        The response goes on as after an empty message of its body.
        """
        if self.phase is not Phase.HELD:
            return ()
        self.phase = TRANSITIONS[self.phase, _MORE_BODY]
        start, self._start = self._start, None
        assert start is not None, "HELD always has its start"
        return (start,)

    @property
    def delivered(self) -> bool:
        """Whether the server has all of the body, and has yet to be told that it is over."""
        if self.phase is not Phase.STREAMING:
            return False
        return self._head_request or self._sent == self._declared

    def _begin(self, start: Message) -> tuple[Message, ...]:
        """Take the start; as `feed`."""
        headers = start.get("headers", ())
        if not isinstance(headers, list | tuple):  # any iterable is allowed, and some are read once
            start = {**start, "headers": list(headers)}
        streams, declared = promises_of(start)
        signal = _EVENT_STREAM_START if streams else _START
        phase = TRANSITIONS.get((self.phase, signal))
        if phase is None:
            raise ResponseOrderError(self.phase, start["type"])
        self.phase = phase
        if start.get("trailers"):
            self._last_body = Signal.BODY_BEFORE_TRAILERS
        if not self._head_request:
            self._declared = declared
        if streams:
            return (start,)
        self._start = start
        return ()

    def _count(self, message: Message, declared: int) -> None:
        """Hold the body to its declared length."""
        if message["type"] != "http.response.body":
            self._declared = None  # a file's length is the server's to know; trailers come after
            return
        sent = self._sent + len(message.get("body", b""))
        ends_short = sent < declared and not message.get("more_body")
        if self._strict and (sent > declared or ends_short):
            raise LengthMismatch(sent, declared)
        self._sent = sent

    def _signal_of(self, message: Message, kind: str) -> Signal | None:
        if kind in _CONTENT:
            if message.get("more_body"):
                return _MORE_BODY
            return self._last_body
        if kind == "http.response.trailers":
            return Signal.MORE_TRAILERS if message.get("more_trailers") else Signal.LAST_TRAILERS
        return None


class ClosedGate(ResponseGate):
    """For an application whose answer was given for it: what it still sends is thrown away."""

    phase = Phase.COMPLETE

    def feed(self, message: Message) -> tuple[Message, ...]:
        return ()
