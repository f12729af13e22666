"""Renders both transition tables as docs/state-tables.md: `python -m tests.protocol.render`."""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar

from asgi_bridge import BridgeError
from asgi_bridge.protocol.request import BODY_TRANSITIONS, BodyPhase, BodySignal
from asgi_bridge.protocol.response import TRANSITIONS, Phase, ResponseGate, Signal

from .machines import BODY_MESSAGES, body_in, gate_in

PAGE: Final = Path(__file__).parents[2] / "docs" / "state-tables.md"

P = TypeVar("P", bound=StrEnum)
S = TypeVar("S", bound=StrEnum)

PAGE_TEXT: Final = """\
# State tables

What an exchange decides without waiting for anything: two tables, each in one file, and this page
made of them. Change the table, then run `python -m tests.protocol.render`; a test compares.

## The response

`asgi_bridge/protocol/response.py`. The gate holds `http.response.start` until the first message
that carries content: any `http.response.body`, an empty one too, `http.response.pathsend`,
`http.response.zerocopysend` or `http.response.trailers`. An empty body message with
`more_body: True` is thus the way to send the head alone. The start of an event stream is not held.

{response_diagram}

A pair without an entry raises `ResponseOrderError` and changes nothing. A message of any other type
(`http.response.early_hint`, `http.response.push`, `http.response.debug`, or one that is not known
yet) is no signal: in every phase it is passed on at once, in order and unchanged.

{response_table}

When the application returns, the gate does what is left to do:

{response_ends}

An application that raises while its start is held has it dropped, and the exception goes on to the
server, which answers with an honest status. Once the start is released no end is made up.

## The request body

`asgi_bridge/protocol/request.py`. The body of a request, message by message, against its
Content-Length and against `Limits.max_body_bytes`. A message that is past the limit and the last
one is two signals, first the one and then the other.

{body_diagram}

A pair without an entry changes nothing: a body that has come to its end stays as it ended. The
disconnect is latched.

{body_table}

The first outcome stands, whatever comes after it. What a reader meets once it has read all that
came:

{body_errors}
"""


def render() -> str:
    """The whole page."""
    return PAGE_TEXT.format(
        response_diagram=_diagram(TRANSITIONS, Phase.INITIAL, [Phase.COMPLETE]),
        response_table=_table(Phase, Signal, TRANSITIONS),
        response_ends=_rows(("phase", "what goes to the server then"), _returns()),
        body_diagram=_diagram(BODY_TRANSITIONS, BodyPhase.OPEN, [BodyPhase.GONE]),
        body_table=_table(BodyPhase, BodySignal, BODY_TRANSITIONS),
        body_errors=_rows(("signal while open", "outcome"), map(_outcome, BodySignal)),
    )


def _diagram(transitions: Mapping[tuple[P, S], P], first: P, last: Iterable[P]) -> str:
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {first}"]
    lines += [
        f"    {before} --> {after}: {signal}" for (before, signal), after in transitions.items()
    ]
    lines += [f"    {phase} --> [*]" for phase in last]
    return "\n".join([*lines, "```"])


def _table(phases: Iterable[P], signals: Iterable[S], transitions: Mapping[tuple[P, S], P]) -> str:
    """A row for each signal: fewer columns than the other way round."""
    phases = list(phases)
    return _rows(
        ("signal", *phases),
        (
            (signal, *(transitions.get((phase, signal), "") for phase in phases))
            for signal in signals
        ),
    )


def _rows(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _returns() -> Iterator[tuple[str, str]]:
    """What `finish` does in each phase, by trying it."""
    for phase in Phase:
        yield phase, _finished(gate_in(phase))
        if phase is Phase.HELD:
            yield f"{phase}, trailers promised", _finished(gate_in(phase, trailers=True))


def _finished(gate: ResponseGate) -> str:
    try:
        return ", ".join(f"`{message['type']}`" for message in gate.finish()) or "nothing"
    except BridgeError as error:
        return f"nothing; `{type(error).__name__}` is raised"


def _outcome(signal: BodySignal) -> tuple[str, str]:
    """What a signal makes of an open body, by trying it."""
    body = body_in(BodyPhase.OPEN, signal)
    body.feed(BODY_MESSAGES[signal])
    if body.error is not None:
        return (signal, f"`{type(body.error).__name__}`")
    return (signal, "more of the body" if body.coming else "the end of the body")


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
