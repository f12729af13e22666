"""The response gate as scripts: a whole list of messages in, whole lists of messages out."""

import copy
from collections.abc import Iterable

import pytest

from asgi_bridge.protocol.response import Phase, ResponseGate
from asgi_bridge.testing import body, start
from asgi_bridge.types import Message

from .machines import (
    EVENT_STREAM,
    LAST_BODY,
    LAST_TRAILERS,
    MORE_BODY,
    MORE_TRAILERS,
    PROMISING,
    START,
    gate_in,
)

FLUSH = body(b"", more_body=True)
EMPTY_LAST = body(b"")
PATHSEND: Message = {"type": "http.response.pathsend", "path": "/a/file"}
ZEROCOPYSEND: Message = {"type": "http.response.zerocopysend", "file": 3, "more_body": True}
LAST_ZEROCOPYSEND: Message = {"type": "http.response.zerocopysend", "file": 3}
BODY_WITHOUT_KEYS: Message = {"type": "http.response.body"}
PROMISING_EVENTS: Message = {**EVENT_STREAM, "trailers": True}

NO_RULE: list[Message] = [
    {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]},
    {"type": "http.response.push", "path": "/a.css", "headers": []},
    {"type": "http.response.debug", "info": {"template": "a.html"}},
    {"type": "http.response.x-future", "anything": object()},
]


def play(messages: Iterable[Message], gate: ResponseGate | None = None) -> list[list[Message]]:
    """Feed messages; what each of them let out."""
    gate = ResponseGate() if gate is None else gate
    return [list(gate.feed(message)) for message in messages]


SCRIPTS: dict[str, tuple[list[Message], list[list[Message]]]] = {
    "whole body": ([START, LAST_BODY], [[], [START, LAST_BODY]]),
    "empty body": ([START, EMPTY_LAST], [[], [START, EMPTY_LAST]]),
    "body without keys": ([START, BODY_WITHOUT_KEYS], [[], [START, BODY_WITHOUT_KEYS]]),
    "flushed head": (
        [START, FLUSH, MORE_BODY, LAST_BODY],
        [[], [START, FLUSH], [MORE_BODY], [LAST_BODY]],
    ),
    "chunks": (
        [START, MORE_BODY, MORE_BODY, EMPTY_LAST],
        [[], [START, MORE_BODY], [MORE_BODY], [EMPTY_LAST]],
    ),
    "pathsend": ([START, PATHSEND], [[], [START, PATHSEND]]),
    "pathsend after a flush": ([START, FLUSH, PATHSEND], [[], [START, FLUSH], [PATHSEND]]),
    "zerocopysend": (
        [START, ZEROCOPYSEND, LAST_ZEROCOPYSEND],
        [[], [START, ZEROCOPYSEND], [LAST_ZEROCOPYSEND]],
    ),
    "zerocopysend among chunks": (
        [START, MORE_BODY, ZEROCOPYSEND, LAST_BODY],
        [[], [START, MORE_BODY], [ZEROCOPYSEND], [LAST_BODY]],
    ),
    "trailers alone": ([START, LAST_TRAILERS], [[], [START, LAST_TRAILERS]]),
    "trailers alone, in two": (
        [START, MORE_TRAILERS, LAST_TRAILERS],
        [[], [START, MORE_TRAILERS], [LAST_TRAILERS]],
    ),
    "trailers promised": (
        [PROMISING, MORE_BODY, LAST_BODY, MORE_TRAILERS, LAST_TRAILERS],
        [[], [PROMISING, MORE_BODY], [LAST_BODY], [MORE_TRAILERS], [LAST_TRAILERS]],
    ),
    "trailers promised, whole body": (
        [PROMISING, LAST_BODY, LAST_TRAILERS],
        [[], [PROMISING, LAST_BODY], [LAST_TRAILERS]],
    ),
    "trailers after pathsend": (
        [PROMISING, PATHSEND, LAST_TRAILERS],
        [[], [PROMISING, PATHSEND], [LAST_TRAILERS]],
    ),
    "event stream": (
        [EVENT_STREAM, MORE_BODY, LAST_BODY],
        [[EVENT_STREAM], [MORE_BODY], [LAST_BODY]],
    ),
    "event stream with trailers": (
        [PROMISING_EVENTS, LAST_BODY, LAST_TRAILERS],
        [[PROMISING_EVENTS], [LAST_BODY], [LAST_TRAILERS]],
    ),
}


@pytest.mark.parametrize(("messages", "let_out"), SCRIPTS.values(), ids=SCRIPTS.keys())
def test_script(messages: list[Message], let_out: list[list[Message]]) -> None:
    gate = ResponseGate()
    assert play(messages, gate) == let_out
    assert gate.phase is Phase.COMPLETE
    assert gate.finish() == ()


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("message", NO_RULE, ids=lambda message: message["type"])
def test_message_without_a_rule_passes_in_every_phase(phase: Phase, message: Message) -> None:
    gate = gate_in(phase)
    (passed,) = gate.feed(message)
    assert passed is message
    assert gate.phase is phase


def test_messages_without_a_rule_keep_their_place() -> None:
    hint, push, debug, future = NO_RULE
    script = [hint, START, push, MORE_BODY, debug, LAST_BODY, future]
    assert play(script) == [[hint], [], [push], [START, MORE_BODY], [debug], [LAST_BODY], [future]]


@pytest.mark.parametrize(
    "header",
    [
        (b"content-type", b"text/event-stream"),
        (b"Content-Type", b"text/event-stream"),
        (b"content-type", b"Text/Event-Stream; charset=utf-8"),
        (b"content-type", b"text/event-stream;charset=utf-8"),
    ],
)
def test_event_stream_is_told_by_its_content_type(header: tuple[bytes, bytes]) -> None:
    head = start(200, [(b"cache-control", b"no-store"), header])
    assert play([head]) == [[head]]


@pytest.mark.parametrize(
    "head",
    [
        start(200, [(b"content-type", b"text/plain")]),
        start(200, [(b"x-content-type", b"text/event-stream")]),
        start(200, [(b"accept", b"text/event-stream")]),
        start(200),
        {"type": "http.response.start", "status": 200},
    ],
    ids=str,
)
def test_any_other_start_is_held(head: Message) -> None:
    assert play([head]) == [[]]


def test_headers_may_be_any_iterable_of_pairs() -> None:
    head: Message = {**EVENT_STREAM, "headers": ([b"content-type", b"text/event-stream"],)}
    assert play([head]) == [[head]]


# As an application has it that keeps its headers in a module.
HEADERS = [(b"content-type", b"text/plain"), (b"x-app", b"1")]


@pytest.mark.parametrize("trailers", [False, True])
def test_what_the_application_hands_over_is_never_edited(trailers: bool) -> None:
    before = copy.deepcopy(HEADERS)
    for _ in range(2):
        head: Message = {
            "type": "http.response.start",
            "status": 200,
            "headers": HEADERS,
            "trailers": trailers,
        }
        script = [head, dict(MORE_BODY), dict(LAST_BODY)]
        copies = copy.deepcopy(script)
        out = [message for released in play(script) for message in released]
        assert all(ours is theirs for ours, theirs in zip(out, script, strict=True))
        assert script == copies
        assert head["headers"] is HEADERS
    assert HEADERS == before


def test_promise_of_one_response_is_not_kept_by_the_next() -> None:
    assert play([PROMISING, LAST_BODY, LAST_TRAILERS]) == [
        [],
        [PROMISING, LAST_BODY],
        [LAST_TRAILERS],
    ]
    gate = ResponseGate()
    assert play([START, LAST_BODY], gate) == [[], [START, LAST_BODY]]
    assert gate.phase is Phase.COMPLETE
