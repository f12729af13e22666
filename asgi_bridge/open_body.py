# Whose bytes a reader gets.
#
# Rule 1: those that the caller's own `receive` would give. A middleware in between may unpack the
#         body, bound it, or have read it before and tell it again. So where the `receive` that
#         belongs to the caller is not the bridge's own, the reader reads through it.
# Rule 2: what a framework has read, and keeps for whoever asks again, is the body.
# Rule 3: a scope has no `receive`. It gets the server's bytes, unless somebody in between has
#         changed what its headers say of the body: then other bytes belong to it.
"""open_body: a request's body as a blocking file, for code in any framework."""

import sys
from collections import deque
from types import FrameType
from typing import Any, Literal, overload

from .errors import BodyAlreadyClaimed, BridgeNotInstalled, ReceiveReplaced
from .exchange import AppExchange
from .intake import SCOPE_KEY, Intake
from .reader import BodyReader
from .spool import SpooledReader
from .types import Receive, Scope


@overload
def open_body(
    source: Any, receive: Receive | None = ..., *, spool: Literal[False] = ...
) -> BodyReader: ...
@overload
def open_body(
    source: Any, receive: Receive | None = ..., *, spool: Literal[True]
) -> SpooledReader: ...
@overload
def open_body(
    source: Any, receive: Receive | None = ..., *, spool: bool
) -> BodyReader | SpooledReader: ...
def open_body(
    source: Any, receive: Receive | None = None, *, spool: bool = False
) -> BodyReader | SpooledReader:
    """Claim a request's body and read it as a blocking binary file.

    It gives the bytes that the framework's own way of reading would give at the same place. From
    then on the application's own `receive` yields only `http.disconnect`; a call that waits for the
    body before a response has begun raises `BodyAlreadyClaimed`.

    Args:
        source: an ASGI scope, or anything with one as its `.scope`, such as the request objects of
            Starlette, FastAPI, Litestar, Django, Quart, BlackSheep and Falcon.
        receive: the `receive` that goes with it; needed where only a scope is at hand and a
            middleware has replaced it. A request object with a `.receive` brings its own.
        spool: keep what has been read in a temporary file, on disk when it is large, so that the
            reader can seek.

    Raises:
        BridgeNotInstalled: the scope came through no `BridgeMiddleware` and no `handler`.
        BodyAlreadyClaimed: there is a reader, or the application has read from it itself.
        ReceiveReplaced: the scope's headers show that its body comes from another `receive`.

    Threads: any. The reader itself only works off the event loop's thread.
    """
    scope: Scope = source if isinstance(source, dict) else getattr(source, "scope", source)
    holder = scope.get(SCOPE_KEY)
    if not isinstance(holder, AppExchange | Intake):
        raise BridgeNotInstalled(
            "no BridgeMiddleware is around this request, or the request is over; wrap the "
            "application: app = BridgeMiddleware(app)"
        )
    limits = holder.intake.limits
    kept = getattr(source, "_body", None)
    if isinstance(kept, bytes):
        body = _whole(kept, holder.intake)
    else:
        body = _reader_of(source, scope, receive, holder)
    return SpooledReader(body, limits.spool_max_bytes) if spool else body


def _reader_of(
    source: Any, scope: Scope, receive: Receive | None, holder: AppExchange | Intake
) -> BodyReader:
    """The reader of a body that nobody keeps."""
    if receive is None and source is not scope:
        receive = getattr(source, "receive", None)
    intake = holder.intake
    if isinstance(holder, AppExchange) and not intake.withheld:
        if receive is None:
            if holder.shows_replacement(scope):
                raise ReceiveReplaced(
                    "a middleware has changed what the headers say of the body, so it comes from "
                    "another receive than the server's: open_body(scope, receive)"
                )
        elif not holder.reuses(receive):
            if getattr(source, "_stream_consumed", False):
                raise BodyAlreadyClaimed(
                    "the request body cannot be claimed: the application has read it itself, "
                    "and keeps nothing of it"
                )
            return holder.read_through(scope, receive, intake.limits, _caller()).reader()
    intake.claim(_caller())
    return intake.reader()


def _whole(body: bytes, intake: Intake) -> BodyReader:
    """The reader of a body that somebody has read."""
    return BodyReader(None, intake.portal.thread_id, deque((body,) if body else ()))


def _caller() -> str:
    """Where open_body was called, as a part of a sentence."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    assert frame is not None, "somebody has called it"
    return f"in {frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})"
