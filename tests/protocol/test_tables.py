"""Both tables, pair by pair: the listed pairs move, all others have their one written outcome."""

import pytest

from asgi_bridge import ResponseIncomplete, ResponseOrderError
from asgi_bridge.protocol.request import BODY_TRANSITIONS, BodyPhase, BodySignal
from asgi_bridge.protocol.response import TRANSITIONS, Phase, Signal
from asgi_bridge.testing import body
from asgi_bridge.types import Message

from .machines import (
    BODY_MESSAGES,
    LAST_BODY,
    MESSAGES,
    PROMISING,
    START,
    body_in,
    gate_in,
)

NO_TRAILERS: Message = {"type": "http.response.trailers", "headers": []}


@pytest.mark.parametrize("signal", Signal)
@pytest.mark.parametrize("phase", Phase)
def test_every_pair_of_the_response(phase: Phase, signal: Signal) -> None:
    gate = gate_in(phase, trailers=signal is Signal.BODY_BEFORE_TRAILERS)
    if signal is Signal.LAST_BODY and phase is Phase.TRAILERS:
        signal = Signal.BODY_BEFORE_TRAILERS  # trailers are promised there, or it were not TRAILERS
    if (phase, signal) in TRANSITIONS:
        gate.feed(MESSAGES[signal])
        assert gate.phase is TRANSITIONS[phase, signal]
    else:
        with pytest.raises(ResponseOrderError) as caught:
            gate.feed(MESSAGES[signal])
        assert gate.phase is phase
        assert (caught.value.phase, caught.value.type) == (phase, MESSAGES[signal]["type"])


@pytest.mark.parametrize("signal", [s for s in Signal if (Phase.HELD, s) not in TRANSITIONS])
@pytest.mark.parametrize("trailers", [False, True])
def test_refused_message_leaves_the_held_start_and_its_promise(
    trailers: bool, signal: Signal
) -> None:
    gate = gate_in(Phase.HELD, trailers=trailers)
    with pytest.raises(ResponseOrderError):
        gate.feed(MESSAGES[signal])
    assert gate.feed(LAST_BODY) == (PROMISING if trailers else START, LAST_BODY)
    assert gate.phase is (Phase.TRAILERS if trailers else Phase.COMPLETE)


def test_order_error_says_what_came_and_when() -> None:
    with pytest.raises(ResponseOrderError) as caught:
        gate_in(Phase.COMPLETE).feed(LAST_BODY)
    expected = "'http.response.body' is not allowed while the response is complete"
    assert str(caught.value) == expected
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("phase", [Phase.INITIAL, Phase.TRAILERS, Phase.COMPLETE])
def test_finish_has_nothing_to_add(phase: Phase) -> None:
    gate = gate_in(phase)
    assert gate.finish() == ()
    assert gate.phase is phase


def test_finish_releases_a_held_start() -> None:
    gate = gate_in(Phase.HELD)
    assert gate.finish() == (START, body(b""))
    assert gate.phase is Phase.COMPLETE
    assert gate.finish() == ()


def test_finish_keeps_the_promise_of_a_held_start() -> None:
    """A server that was promised trailers waits for them, so a response ends with them only."""
    gate = gate_in(Phase.HELD, trailers=True)
    assert gate.finish() == (PROMISING, body(b""), NO_TRAILERS)
    assert gate.phase is Phase.COMPLETE


def test_finish_makes_up_no_end() -> None:
    gate = gate_in(Phase.STREAMING)
    with pytest.raises(ResponseIncomplete, match="while its response was streaming"):
        gate.finish()
    assert gate.phase is Phase.STREAMING


@pytest.mark.parametrize("signal", BodySignal)
@pytest.mark.parametrize("phase", BodyPhase)
def test_every_pair_of_the_request_body(phase: BodyPhase, signal: BodySignal) -> None:
    followed = body_in(phase, signal)
    error = followed.error
    followed.feed(BODY_MESSAGES[signal])
    assert followed.phase is BODY_TRANSITIONS.get((phase, signal), phase)
    if phase is not BodyPhase.OPEN:
        assert followed.error is error  # the first outcome stands


@pytest.mark.parametrize("signal", BodySignal)
@pytest.mark.parametrize("phase", [BodyPhase.OPEN, BodyPhase.REFUSED])
def test_body_is_not_coming_once_its_last_message_came(
    phase: BodyPhase, signal: BodySignal
) -> None:
    followed = body_in(phase, signal)
    assert followed.coming
    message = BODY_MESSAGES[signal]
    followed.feed(message)
    assert followed.coming is message.get("more_body", False)
