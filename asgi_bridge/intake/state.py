# What is known of a request, and who is told when that changes.
#
# Rule 1: a disconnect, and an exception out of the server's receive(), are latched: everyone who
#         asks is told, however often.
# Rule 2: what most requests never touch stands once, in the class, and not in each of them: an
#         application that only answers must not pay for what it does not use.
"""RequestState: the facts that an intake and those around it go by."""

import logging
from collections.abc import Callable, Mapping
from enum import Enum
from types import TracebackType
from typing import Final

from ..crossing.portal import Portal
from ..crossing.waiters import LoopWaiter
from ..errors import ClientDisconnected
from ..limits import Limits
from ..logs import logger, shown
from ..protocol.request import (
    OPEN,
    Framing,
    RequestBody,
    framing_of,
    may_have_body,
    shows_proxy,
)
from ..protocol.spec import AsgiOfUnreadBody, own_asgi, raises_when_gone
from ..types import Message, Receive, Scope

# Where a scope carries what has its intake, so that open_body finds it through any framework.
SCOPE_KEY: Final = "asgi_bridge"


class Owner(Enum):
    """Whom the body's messages belong to."""

    NOBODY = "nobody has asked yet"
    APPLICATION = (
        "the application has read from it itself; where that was its framework, "
        "BridgeMiddleware(app, withhold=...) keeps the body for open_body"
    )
    READER = "it has a reader already"


# A global is found in half the time of an enum's member.
NOBODY: Final = Owner.NOBODY
APPLICATION: Final = Owner.APPLICATION
READER: Final = Owner.READER


class RequestState:
    """One request.

    Attributes:
        client_gone: whether the server has told of the disconnect; to be read only.
        disconnect: the server's message that told of it, which the application gets, too.
        failure: what the server's receive() raised, or what befell the body on its way round.
        refused: what the application's receive() has raised on our own account, for a body that is
            too long, too slow, or not whole.
        sends: how many sends to the server were begun or ended, so odd while one is under way.
            Whoever sends counts them, while a response streams or has to wait.
        wanted: whether anybody will read the rest of the body; asked when it finds no room.
        asgi: what the application's scope says of ASGI, while that depends on the body.
        leaving: what the server's send() raised to tell of the disconnect.
        told: whether the application has been told of the disconnect.
        listened: whether the application has asked for more than the body, which is the disconnect.
        response_begun: whether the application has sent its start.
        keeps_coming: whether a body that nobody has begun to read is taken in although nothing is
            sent, so that the disconnect behind it is noticed.

    Args:
        scope: the request's scope.
        receive: the server's callable.
        limits: what may be held.
        portal: the loop that the request runs on.

    Threads: the loop's.
    """

    client_gone = False
    disconnect: Message | None = None
    failure: Exception | None = None
    refused: Exception | None = None
    sends = 0
    wanted: Callable[[], bool] | None = None  # None: as far as anyone knows
    asgi: AsgiOfUnreadBody | None = None
    told = False
    leaving: OSError | None = None
    listened = False
    response_begun = False
    keeps_coming = False
    _owner: Owner = NOBODY  # see intake.py
    _failure_traceback: TracebackType | None = None  # belongs to failure
    _waiting: tuple[LoopWaiter, ...] = ()  # tasks inside changed()
    _reason: str | None = None  # what the server's send() said of the disconnect
    _framing: Framing | None = None  # made when first asked for
    _body: RequestBody | None = None  # likewise
    _departure_logged = False
    _on_gone: Callable[[], None] | None = None
    _on_cut: Callable[[Exception], None] | None = None
    _on_ready: Callable[[], None] | None = None

    def __init__(self, scope: Scope, receive: Receive, limits: Limits, portal: Portal) -> None:
        self.portal = portal
        self.limits = limits
        self._scope = scope
        self._server_receive = receive

    def __str__(self) -> str:
        return shown(self._scope)

    @property
    def method(self) -> str:
        """The request's method."""
        method: str = self._scope["method"]
        return method

    @property
    def closing_headers(self) -> Mapping[str, str]:
        """Headers of a response after which the connection is closed; HTTP/1 only has such."""
        return {"connection": "close"} if self._scope["http_version"] in ("1.0", "1.1") else {}

    @property
    def body(self) -> RequestBody:
        """What the request body has come to so far."""
        if self._body is None:
            self._body = RequestBody(
                self.framing.length, self.limits.max_body_bytes, strict=self._owner is READER
            )
        return self._body

    @property
    def framing(self) -> Framing:
        """What the request's headers say about its body."""
        if self._framing is None:
            self._framing = framing_of(self._scope.get("headers", ()))
        return self._framing

    @property
    def declared_too_long(self) -> bool:
        """Whether the Content-Length alone is above the limit, so that nothing need be read."""
        limit = self.limits.max_body_bytes
        if limit is None:
            return False
        length = self.framing.length
        return length is not None and length > limit

    @property
    def expected(self) -> bool:
        """Whether more of the body is to come, for all that is known.

        What was not announced, and of which nothing has come, is not waited for: a GET has no body,
        and over HTTP/2 one server has an application wait for ever for the end that would say so.
        """
        body = self.body
        return body.coming and (body.received > 0 or may_have_body(self._scope))

    @property
    def ready(self) -> bool:
        """Whether the body has ended, one way or another, or has filled the prefetch.

        So does a request that has none by its head count: the server has yet to say so, as one does
        after a turn of its loop, and not the client. One that comes all the same makes it unready.
        """
        body = self.body
        return (
            body.phase is not OPEN
            or not (body.received or may_have_body(self._scope))
            or self.failure is not None
            or body.received >= min(self.limits.prefetch_bytes, self.limits.request.high)
        )

    def count_sends(self) -> int:
        """`sends`, for those who ask now and then; odd, too, while the body is to keep coming."""
        return self.sends | 1 if self.keeps_coming and self._owner is NOBODY else self.sends

    @property
    def behind_proxy(self) -> bool:
        """Whether a proxy on HTTP/1 has passed the request on, for all that its head says."""
        return shows_proxy(self._scope)

    @property
    def server_raises(self) -> bool:
        """Whether the server promises that its send raises after a disconnect (ASGI HTTP 2.4)."""
        return raises_when_gone(own_asgi(self._scope.get("asgi")))

    def use_limits(self, limits: Limits) -> None:
        """Go by the limits of the handler that is about to claim the body."""
        self.limits = limits
        self.body.limit = limits.max_body_bytes

    def log_departure(self, reason: BaseException) -> None:
        """Have the log say once that the client has left.

        An upload that is not whole is logged where the default set-up of Python, and so of uvicorn,
        shows it, though a flood of them is not; other departures are an everyday thing.
        """
        if self._departure_logged:
            return
        self._departure_logged = True
        shows = self.broken_off and self.portal.broken_uploads.due()
        logger.log(logging.WARNING if shows else logging.INFO, "%s: %s", self, reason)

    @property
    def knows_of_leaving(self) -> bool:
        """Whether the client has left, and the application or its reader has been told so."""
        return self.client_gone and (self.told or self._owner is READER)

    @property
    def broken_off(self) -> bool:
        """Whether the client left in the middle of a body that somebody has begun to read."""
        body = self._body
        if body is None or not isinstance(body.error, ClientDisconnected):
            return False
        return body.received > 0 or may_have_body(self._scope)

    # What is latched.

    def gone_error(self) -> ClientDisconnected:
        """What a send meets once the client is known to be gone."""
        reason = self._reason or f"the client went away after {self.body.received} bytes of body"
        return ClientDisconnected(reason)

    def client_left(self, reason: OSError) -> None:
        """Latch a disconnect that the server's send() told of."""
        self.client_gone = self.told = True
        self.leaving = reason
        self._reason = f"the client went away: {reason}"
        self.tell()

    def latch(self, failure: Exception) -> None:
        """Latch what went wrong."""
        self.failure, self._failure_traceback = failure, failure.__traceback__

    def raise_failure(self) -> None:
        """Raise what was latched, if anything was.

        Raises:
            Exception: that, as it was raised first.
        """
        if self.failure is not None:
            raise self.failure.with_traceback(self._failure_traceback)

    # Who is told.

    def on_gone(self, callback: Callable[[], None] | None) -> None:
        """Have `callback` called, on the loop, when the client goes away; now if it has.

        Args:
            callback: None for no one, once the answer is about to be complete.
        """
        self._on_gone = callback
        if self.client_gone:
            self.tell()

    def on_cut(self, callback: Callable[[Exception], None] | None) -> None:
        """Have `callback` called, on the loop, with the reason, if the exchange has to be cut."""
        self._on_cut = callback

    def on_ready(self, callback: Callable[[], None]) -> None:
        """Have `callback` called, on the loop, when the request becomes ready."""
        self._on_ready = callback

    def cut(self, error: Exception) -> None:
        """Latch that a part of the body is lost, and have the exchange cut."""
        self.latch(error)
        self.refused = error
        if self._on_cut is not None:
            self._on_cut(error)

    async def changed(self) -> None:
        """Wait until something has changed."""
        waiter = self.portal.waiter()
        self._waiting = (*self._waiting, waiter)
        try:
            await waiter.wait()
        finally:
            self._waiting = tuple(each for each in self._waiting if each is not waiter)

    def tell(self) -> None:
        """Something has changed: let those look who wait for it."""
        for waiter in self._waiting:
            waiter.ring()
        if self._on_ready is not None and self.ready:
            ready, self._on_ready = self._on_ready, None
            ready()
        if self._on_gone is not None and self.client_gone:
            gone, self._on_gone = self._on_gone, None
            gone()

    def tell_news(self) -> None:
        """`tell`, after each message: only where somebody may have waited for it."""
        if self._waiting or self._on_ready is not None or self.client_gone:
            self.tell()
