"""Brings the two state machines into any phase, and makes a message for any signal."""

from collections.abc import Mapping
from typing import Final

from asgi_bridge.protocol.request import BodyPhase, BodySignal, RequestBody
from asgi_bridge.protocol.response import Phase, ResponseGate, Signal
from asgi_bridge.testing import body, request, start
from asgi_bridge.types import Message

START: Final = start(200, [(b"content-type", b"text/plain")])
EVENT_STREAM: Final = start(200, [(b"content-type", b"text/event-stream")])
PROMISING: Final[Message] = {**START, "trailers": True}
MORE_BODY: Final = body(b"ab", more_body=True)
LAST_BODY: Final = body(b"cd")
MORE_TRAILERS: Final[Message] = {
    "type": "http.response.trailers",
    "headers": [(b"x-sum", b"1")],
    "more_trailers": True,
}
LAST_TRAILERS: Final[Message] = {**MORE_TRAILERS, "more_trailers": False}

# BODY_BEFORE_TRAILERS is a last body too; what makes it one is the promise in the start.
MESSAGES: Final[Mapping[Signal, Message]] = {
    Signal.START: START,
    Signal.EVENT_STREAM: EVENT_STREAM,
    Signal.MORE_BODY: MORE_BODY,
    Signal.LAST_BODY: LAST_BODY,
    Signal.BODY_BEFORE_TRAILERS: LAST_BODY,
    Signal.MORE_TRAILERS: MORE_TRAILERS,
    Signal.LAST_TRAILERS: LAST_TRAILERS,
}


def gate_in(phase: Phase, *, trailers: bool = False) -> ResponseGate:
    """Make a gate in a phase.

    Args:
        phase: where to bring it.
        trailers: whether the start, where there is one, has promised trailers; a response in
            TRAILERS always has.
    """
    head = PROMISING if trailers else START
    last = (LAST_BODY, LAST_TRAILERS) if trailers else (LAST_BODY,)
    way: Mapping[Phase, tuple[Message, ...]] = {
        Phase.INITIAL: (),
        Phase.HELD: (head,),
        Phase.STREAMING: (head, MORE_BODY),
        Phase.TRAILERS: (PROMISING, LAST_BODY),
        Phase.COMPLETE: (head, *last),
    }
    gate = ResponseGate()
    for message in way[phase]:
        gate.feed(message)
    assert gate.phase is phase
    return gate


LIMIT: Final = 4
DISCONNECT_MESSAGE: Final[Message] = {"type": "http.disconnect"}

BODY_MESSAGES: Final[Mapping[BodySignal, Message]] = {
    BodySignal.MORE: request(b"", more_body=True),
    BodySignal.LAST: request(b"abc"),
    BodySignal.SHORT: request(b"a"),
    BodySignal.LONG: request(b"abcde", more_body=True),
    BodySignal.DISCONNECT: DISCONNECT_MESSAGE,
}

_BODY_WAY: Final[Mapping[BodyPhase, tuple[Message, ...]]] = {
    BodyPhase.OPEN: (),
    BodyPhase.ENDED: (request(b"abc"),),
    BodyPhase.REFUSED: (request(b"abcde", more_body=True),),
    BodyPhase.BROKEN: (request(b"abcde", more_body=True), request(b"vwxyz")),
    BodyPhase.GONE: (DISCONNECT_MESSAGE,),
}


def body_in(phase: BodyPhase, signal: BodySignal) -> RequestBody:
    """Make a body in a phase, to which BODY_MESSAGES[signal] means just that signal."""
    # A body is short of what it declared, so the length is what makes the same message SHORT.
    coming = phase in (BodyPhase.OPEN, BodyPhase.REFUSED)
    followed = RequestBody(9 if coming and signal is BodySignal.SHORT else 3, LIMIT)
    for message in _BODY_WAY[phase]:
        followed.feed(message)
    assert followed.phase is phase
    return followed
