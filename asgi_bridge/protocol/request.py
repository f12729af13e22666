# What this module decides: what the body of one HTTP request has come to.
#
# Rule 1: only a message with more_body false ends a body. A disconnect before it is an abort and
#         never an end (ASGI HTTP sub-spec, Disconnect; reading it as an end turns a cut upload
#         into a complete one).
# Rule 2: a body that ends before its Content-Length is an error, even if the server says it is
#         whole.
# Rule 3: a disconnect is latched: some servers tell it once and then never again.
# Rule 4: empty chunks with more_body true are legal and carry nothing.
"""What a request body has come to: open, ended, broken or gone."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from ..errors import BodyIncomplete, BodyTooLarge, BridgeError, ClientDisconnected
from ..types import Message, Scope
from .word import Word


class BodyPhase(Word):
    """How far one request body has got on its way from the client."""

    OPEN = "open"  # more may come
    ENDED = "ended"  # all of it is here
    REFUSED = "refused"  # it is too long; the client may still be sending it
    BROKEN = "broken"  # it ended wrongly; the client may still be listening
    GONE = "gone"  # the client is gone


class BodySignal(Word):
    """What a message means to the table."""

    MORE = "request, more to come"
    LAST = "last request"
    SHORT = "last request, before the Content-Length"
    LONG = "request, past the limit"
    DISCONNECT = "disconnect"


BODY_TRANSITIONS: Final[Mapping[tuple[BodyPhase, BodySignal], BodyPhase]] = {
    (BodyPhase.OPEN, BodySignal.MORE): BodyPhase.OPEN,
    (BodyPhase.OPEN, BodySignal.LAST): BodyPhase.ENDED,
    (BodyPhase.OPEN, BodySignal.SHORT): BodyPhase.BROKEN,
    (BodyPhase.OPEN, BodySignal.LONG): BodyPhase.REFUSED,
    (BodyPhase.OPEN, BodySignal.DISCONNECT): BodyPhase.GONE,
    (BodyPhase.REFUSED, BodySignal.MORE): BodyPhase.REFUSED,
    (BodyPhase.REFUSED, BodySignal.LAST): BodyPhase.BROKEN,
    (BodyPhase.REFUSED, BodySignal.SHORT): BodyPhase.BROKEN,
    (BodyPhase.REFUSED, BodySignal.DISCONNECT): BodyPhase.GONE,
    (BodyPhase.ENDED, BodySignal.DISCONNECT): BodyPhase.GONE,
    (BodyPhase.BROKEN, BodySignal.DISCONNECT): BodyPhase.GONE,
}

# What every request meets; a global is found in half the time of an enum's member.
OPEN: Final = BodyPhase.OPEN
ENDED: Final = BodyPhase.ENDED
REFUSED: Final = BodyPhase.REFUSED
GONE: Final = BodyPhase.GONE
_LAST: Final = BodySignal.LAST


class RequestBody:
    """Follows one request body, message by message.

    Args:
        expected: the declared Content-Length in bytes, None where there is none.
        limit: the most bytes accepted, None for any number.
        strict: whether an end before the declared length is an error. For an application that reads
            by itself, the server is to judge that.

    Attributes:
        phase: how far the body has got; to be read only.
        coming: whether the client has not said yet that it has sent all of it; likewise.
        received: bytes that have come so far, those past the limit too.
        error: what a reader must meet instead of an end, None while there is nothing wrong.
    """

    __slots__ = ("coming", "error", "expected", "limit", "phase", "received", "strict")

    def __init__(self, expected: int | None, limit: int | None, *, strict: bool = True) -> None:
        self.strict = strict
        self.expected = expected
        self.limit = limit
        self.received = 0
        self.error: BridgeError | None = None
        self.phase = OPEN
        self.coming = True

    def feed(self, message: Message) -> bytes:
        """Take the server's next message; return the part of the body that it brought.

        What is past the limit or after the end brings nothing, and neither does a type that has
        no rule here. What the body has come to stands in `phase` and `error` then.
        """
        if message["type"] != "http.request" or not self.coming:
            if message["type"] == "http.disconnect":
                self._move(BodySignal.DISCONNECT)
            return b""
        chunk: bytes = message.get("body", b"")
        self.received = total = self.received + len(chunk)
        if self.limit is not None and total > self.limit:
            self._move(BodySignal.LONG)
            chunk = b""
        if not message.get("more_body"):
            self._move(BodySignal.SHORT if self.strict and self._is_short else _LAST)
        return chunk

    def hold_to_length(self) -> None:
        """The body is a reader's, for whom an end before the declared length is an error."""
        self.strict = True
        if self.phase is ENDED and self._is_short:
            assert self.expected is not None, "only a declared length can be missed"
            self.phase = BodyPhase.BROKEN
            self.error = BodyIncomplete(self.received, self.expected)

    @property
    def _is_short(self) -> bool:
        return self.expected is not None and self.received < self.expected

    def _move(self, signal: BodySignal) -> None:
        before = self.phase
        self.phase = after = BODY_TRANSITIONS.get((before, signal), before)
        self.coming = after is OPEN or after is REFUSED
        if before is not OPEN or signal is _LAST:
            return  # the reader's outcome stands; only the client's presence changed
        match signal:
            case BodySignal.DISCONNECT:
                self.error = ClientDisconnected(
                    f"the client went away after {self.received} bytes of the body"
                )
            case BodySignal.SHORT:
                assert self.expected is not None, "SHORT is only signalled against a length"
                self.error = BodyIncomplete(self.received, self.expected)
            case BodySignal.LONG:
                assert self.limit is not None, "LONG is only signalled against a limit"
                self.error = BodyTooLarge(self.limit)
            case _:
                raise AssertionError("an open body is moved by its end only")


class Framing(NamedTuple):
    """What a request's headers say about its body.

    Attributes:
        length: the declared length in bytes, None where it is absent or not a number. A server
            has refused what is malformed before it calls an application; what some let pass is
            no promise to hold a client to.
        expects_continue: the client waits for a 100 before it sends (RFC 9110, 10.1.1).
    """

    length: int | None
    expects_continue: bool


def framing_of(headers: Iterable[tuple[bytes, bytes]]) -> Framing:
    """Read a scope's headers, whose names are in lower case (ASGI HTTP sub-spec, scope)."""
    length: int | None = None
    expects_continue = False
    for name, value in headers:
        if name == b"content-length":
            # int() refuses thousands of digits; no body has more bytes than 18 digits can say
            length = int(value) if value.isdigit() and len(value) <= 18 else None
        elif name == b"expect":
            expects_continue = value.lower() == b"100-continue"
    return Framing(length, expects_continue)


def keep_headers(scope: Scope) -> None:
    """Make a list of a scope's headers: any iterable is allowed, and some can be read once."""
    scope["headers"] = list(scope.get("headers") or ())


# Methods whose requests have no content by their definition (RFC 9110, 9.3).
_WITHOUT_CONTENT: Final = frozenset({"GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "CONNECT"})

# Headers that say that there is some, or how much.
_OF_CONTENT: Final = (b"content-length", b"transfer-encoding")


def announces_body(scope: Scope) -> bool:
    """Whether a request's head says that a body follows, or may follow.

    HTTP/1 has one where there is a length or a transfer coding (RFC 9112, 6.3). HTTP/2 and 3 need
    neither (RFC 9113, 8.1.1), so there the method has to do for what has no length.
    """
    headers = scope.get("headers", ())
    for name, _ in headers:
        if name in _OF_CONTENT:
            lengths = [value for name, value in headers if name == b"content-length"]
            return not lengths or lengths[-1] != b"0"
    return scope["method"] not in _WITHOUT_CONTENT and _multiplexed(scope)


def may_have_body(scope: Scope) -> bool:
    """Whether a body may follow: the head announces one, or does not say of a POST that it has
    none.

    A POST is sent with a length, if of 0; where none is left, something in between took it away.
    """
    for name, _ in scope.get("headers", ()):
        if name in _OF_CONTENT:
            return announces_body(scope)
    return scope["method"] not in _WITHOUT_CONTENT


# What proxies add to a request (RFC 9110, 7.6.3; RFC 7239; the rest by custom).
_OF_PROXIES: Final = frozenset(
    (b"via", b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-real-ip")
)


def shows_proxy(scope: Scope) -> bool:
    """Whether a request has come through a proxy on HTTP/1, for all that its head says."""
    if _multiplexed(scope):
        return False
    return any(name in _OF_PROXIES for name, _ in scope.get("headers", ()))


def _multiplexed(scope: Scope) -> bool:
    return bool(scope.get("http_version", "1.1")[:1] != "1")
