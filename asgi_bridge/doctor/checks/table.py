"""All checks, in the order in which they are shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ..apps import sending
from . import bodies, early, failing, habits, leaving
from .asking import Ask
from .bodies import Pace, comes_back, comes_down

# Seconds after which a check is a hang; those that are to hold are asked again, with more. Most
# take less than 0.1 s on an idle machine, those with an upload of half a second have a longer one.
LIMIT: Final = 1.5
UPLOAD_LIMIT: Final = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question to a server.

    Attributes:
        title: what it is about, for the table.
        ask: asks it.
        protocols: of HTTP, where it makes sense.
        bare: whether there is anything to compare with without the bridge.
        passing: it is the server's own business, and the bridge has to leave it as it is.
        needs: a package that it needs beside the server.
        limit: seconds after which it is a hang.
    """

    title: str
    ask: Ask
    protocols: tuple[str, ...] = ("h1", "h2", "h3")
    bare: bool = True
    passing: bool = False
    needs: str | None = None
    limit: float = LIMIT


def body_checks(app: str) -> dict[str, tuple[str, Ask]]:
    named = {}
    for pace in Pace:
        for declared in (True, False):
            framing = "length" if declared else "chunked"
            name = f"body-{pace.name.lower().replace('_', '-')}-{framing}"
            title = f"body streamed back, {pace.name.lower().replace('_', ' ')} client, {framing}"
            named[name] = (title, comes_back(app, pace, declared=declared))
    return named


CHECKS: Final[Mapping[str, Check]] = {
    **{
        name: Check(title=title, ask=ask)
        for name, (title, ask) in body_checks("listening_echo").items()
    },
    "body-two-bytes": Check(
        title="body in chunks of two bytes",
        ask=comes_back("echo", Pace.FAST, declared=False, chunks=bodies.TINY),
    ),
    "starlette-stream": Check(
        title="Starlette: StreamingResponse(request.stream())",
        ask=comes_back("starlette_echo", Pace.SLOW, declared=False),
        needs="starlette",
    ),
    "blocking-lock-step": Check(
        title="blocking function, lock-step client",
        ask=comes_back("blocking_echo", Pace.LOCK_STEP, declared=False),
        bare=False,
    ),
    "blocking-fast": Check(
        title="blocking function, fast client",
        ask=comes_back("blocking_echo", Pace.FAST, declared=True),
        bare=False,
    ),
    "early-answer": Check(
        title="413 while the upload runs; the connection goes on",
        ask=early.early_answer("refuse_late", 413),
        limit=UPLOAD_LIMIT,
    ),
    "early-answer-unread": Check(
        title="403 to an upload that nobody reads; the connection goes on",
        ask=early.early_answer("refuse", 403),
        limit=UPLOAD_LIMIT,
    ),
    "blocking-early-answer": Check(
        title="blocking function answers 413 while the upload runs",
        ask=early.early_answer("blocking_refuse_late", 413),
        limit=UPLOAD_LIMIT,
        bare=False,
    ),
    "continue-answered": Check(
        title="100-continue, answer begun before the read",
        ask=early.invited,
        protocols=("h1",),
    ),
    "continue-not-sent": Check(
        title="no 100-continue for a refused request",
        ask=early.not_invited,
        protocols=("h1",),
    ),
    "send-raises": Check(
        title="send raises after the disconnect, if asked to", ask=leaving.send_raises
    ),
    "leaves-streaming": Check(
        title="client leaves while the response streams",
        ask=leaving.noticed_while_streaming,
    ),
    "leaves-streaming-upload": Check(
        title="the same while its upload is not over",
        ask=leaving.noticed_in_upload,
    ),
    "leaves-uploading": Check(
        title="client leaves in its upload: no end of the body", ask=leaving.cut_upload
    ),
    "tail": Check(
        title="client leaves after its upload: all of it is read",
        ask=leaving.tail,
    ),
    "raises-before-start": Check(
        title="failure before the start: 500", ask=failing.status_of("raising", "GET", 500)
    ),
    "raises-before-body": Check(
        title="failure before the first byte: 500",
        ask=failing.status_of("raising_started", "GET", 500),
    ),
    "raises-in-upload": Check(
        title="failure while the upload runs: 500; other streams go on",
        ask=early.early_answer("raising_late", 500),
        limit=UPLOAD_LIMIT,
    ),
    # Before those that fail midway: after one of them a process of Daphne answers no failure more.
    "body-too-short": Check(
        title="fewer bytes than the content-length", ask=failing.wrong_length("short")
    ),
    "body-too-long": Check(
        title="more bytes than the content-length", ask=failing.wrong_length("long")
    ),
    "raises-midway": Check(
        title="failure after the first byte: a broken answer", ask=failing.breaks("breaking")
    ),
    "raises-midway-length": Check(
        title="the same with a content-length", ask=failing.breaks("breaking_declared", alone=True)
    ),
    "returns-midway": Check(
        title="return without an end: a broken answer", ask=failing.breaks("leaving")
    ),
    "blocking-raises-midway": Check(
        title="blocking function fails after its first byte",
        ask=failing.breaks("blocking_breaking", "PUT"),
        bare=False,
    ),
    "message-20-mb": Check(
        title="20 MB in one message",
        ask=comes_down("big", lambda: sending.BIG),
        limit=20.0,
    ),
    "messages-2-bytes": Check(
        title="2000 messages of two bytes",
        ask=comes_down("small", lambda: b"".join(sending.SMALL)),
        limit=10.0,
    ),
    "stream-ends": Check(title="a streamed answer to a GET ends at once", ask=habits.ends_at_once),
    "receive-cancelled": Check(
        title="app gives up a pending receive()",
        ask=comes_back("cancelling", Pace.SLOW, declared=False),
    ),
    "receive-polled": Check(
        title="app polls for the disconnect between reads",
        ask=comes_back("polling", Pace.SLOW, declared=False),
    ),
    "receive-twice": Check(
        title="two tasks call receive()",
        ask=comes_back("two_receivers", Pace.FAST, declared=False),
    ),
    "others-run": Check(title="other tasks run while one sends", ask=habits.others_run),
    "head": Check(title="HEAD has no body", ask=habits.no_body_for_head("hello_undeclared")),
    "head-streamed": Check(
        title="HEAD of a streamed answer has none", ask=habits.no_body_for_head("three")
    ),
    "no-content": Check(title="204 has no body", ask=failing.status_of("nothing", "GET", 204)),
    "spec-version": Check(title="app that asks is told of ASGI 2.4", ask=habits.version),
    "lifespan": Check(title="lifespan passes", ask=habits.lifespan, passing=True),
    "websocket": Check(
        title="WebSocket passes", ask=habits.websocket, protocols=("h1",), passing=True
    ),
}
