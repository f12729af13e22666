# What most exchanges come to: a request without a body, answered by a start and one body.
#
# Rule 1: the application is told of ASGI HTTP 2.4, and gets what that promises.
# Rule 2: a start and one body are passed on together, and cost what they must. At the first sign of
#         anything else (a body, a read, a stream, a failure, a send that waits) a Conversation goes
#         on from there. It is told of the messages that have come so far, so it knows no other way
#         to get where it is.
# Rule 3: the intake is made when somebody asks for it, which may be any thread; all else here is
#         the loop's.
"""AppExchange: calls an application, behind the bridge."""

import threading
from functools import partial
from typing import Final

from ..crossing.forks import RenewedLock
from ..crossing.portal import Portal, Running
from ..errors import ServerShutdown
from ..intake import SCOPE_KEY, Intake
from ..limits import Limits
from ..protocol.request import announces_body
from ..protocol.response import EVENT_STREAM_SIZE, PROMISE_SIZES, promises_of
from ..stats import Outcome
from ..types import ASGIApp, Message, Receive, Scope, Send
from .conversation import Conversation

# The first version of the HTTP sub-spec in which send raises after a disconnect.
SPEC_VERSION: Final = "2.4"

# A global is found in half the time of an enum's member.
_COMPLETE: Final = Outcome.COMPLETE

# Held to make an intake and to post a call at most, so one lock serves all.
_making = RenewedLock()


class AppExchange:
    """One request on its way through an application, which finds this in its scope.

    Args:
        scope: the request's scope.
        receive: the server's callable.
        send: likewise.
        limits: what may be held and how long to wait.
        portal: the loop.

    Attributes:
        send_to: the server's send.

    Threads: the loop's, but for `intake`.
    """

    __slots__ = (
        "_conversation",
        "_intake",
        "_last",
        "_length",
        "_limits",
        "_portal",
        "_scope",
        "_sent",
        "_server_receive",
        "_start",
        "send_to",
    )

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, limits: Limits, portal: Portal
    ) -> None:
        self._scope = scope
        self._server_receive = receive
        self.send_to = send
        self._limits = limits
        self._portal = portal
        self._intake: Intake | None = None
        self._conversation: Conversation | None = None
        self._start: Message | None = None  # held
        self._length: bytes | None = None  # that it declares
        self._last: Message | None = None  # passed on, or about to be
        self._sent = False  # all of the response

    async def run(self, app: ASGIApp) -> Outcome:
        """Call the application, and see its response to its end.

        Returns:
            COMPLETE, CLIENT_GONE, or FAILED for an application that answered nothing.

        Raises:
            BaseException: what the application raised, unless the client's leaving caused it, or
                it came of a request that was refused; and why the exchange was cut.
        """
        scope = self._scope
        inner = dict(scope)
        inner[SCOPE_KEY] = self
        asgi = scope.get("asgi", {})
        if asgi.get("spec_version", "2.0") < SPEC_VERSION:
            inner["asgi"] = {"version": "3.0", **asgi, "spec_version": SPEC_VERSION}
        shutdown = self._portal.shutdown
        shutdown.add(self)
        try:
            if self._may_be_short():
                await app(inner, self.receive, self.send)
                if self._sent and self._intake is None:
                    return _COMPLETE
            else:
                await self._converse().call(app, inner, self.receive)
            await self._converse().finish()
            return self._converse().outcome
        except BaseException as error:
            if await self._converse().fail(error):
                return self._converse().outcome
            raise
        finally:
            shutdown.discard(self)
            if self._conversation is not None:
                await self._conversation.close()

    def _may_be_short(self) -> bool:
        scope = self._scope
        return (
            scope["method"] != "HEAD"
            and not announces_body(scope)
            and self._intake is None
            and self._limits.total_timeout is None
        )

    # For whoever wants the body.

    @property
    def intake(self) -> Intake:
        """The owner of the server's receive(); any thread."""
        with _making.lock:
            if self._intake is None:
                self._intake = intake = Intake(
                    self._scope, self._server_receive, self._limits, self._portal
                )
                if threading.get_ident() == self._portal.thread_id:
                    self._pass_end_to(intake)
                else:  # the end may come just now; whoever reads is connected after it
                    self._portal.post(partial(self._pass_end_to, intake))
            return self._intake

    def _pass_end_to(self, intake: Intake) -> None:
        """Let it know, if the response is complete."""
        if self._sent:
            intake.response_complete()

    def reuses(self, receive: Receive) -> bool:
        """Whether `receive` is this exchange's own, with nobody's wrapper in between."""
        return receive == self.receive

    async def receive(self) -> Message:
        """The application's `receive`, see `Intake.receive`."""
        return await self.intake.receive()

    # For the server that shuts down.

    @property
    def shutdown_timeout(self) -> float | None:
        """As `Limits` have it, those of a handler that has claimed the body before ours."""
        limits = self._limits if self._intake is None else self._intake.limits
        return limits.shutdown_timeout

    def shut_down(self, error: ServerShutdown) -> None:
        """Let go whoever waits."""
        self._converse().shut_down(error)

    # What the application answers.

    async def send(self, message: Message) -> None:
        """The application's `send`, see `Passing.send`."""
        if self._last is None and self._intake is None:
            start = self._start
            if start is None:
                if message["type"] == "http.response.start" and self._holds(message):
                    return
            elif message["type"] == "http.response.body" and not message.get("more_body"):
                size = len(message.get("body", b""))
                if size <= self._limits.message_bytes and self._length in (None, b"%d" % size):
                    self._last = message
                    # most sends return at once; what has to wait is watched over
                    waiting = self._portal.run_here(self._forward(start, message), self._send_waits)
                    if waiting is not None:
                        self._converse().send_over(ended=await waiting)
                    self._sent = True
                    if self._intake is not None:  # somebody has asked for it meanwhile
                        self._pass_end_to(self._intake)  # type: ignore[unreachable]  # by mypy
                    return
        await self._converse().send(message)

    def _holds(self, start: Message) -> bool:
        """Hold a start; False, and nothing is done, where it is that of a stream."""
        kind = length = None
        named = 0  # headers that may be one of the two, in any letters
        for name, value in start.get("headers", ()):
            if name == b"content-length":
                length = value
            elif name == b"content-type":
                kind = value
            elif len(name) not in PROMISE_SIZES:
                continue
            named += 1
        if named != 2 or kind is None or length is None or len(kind) >= EVENT_STREAM_SIZE:
            # it may be that of a stream, or have its names in other letters, or twice
            streams, declared = promises_of(start)
            if streams:
                return False
            length = None if declared is None else b"%d" % declared
        if start.get("trailers"):
            return False
        self._start, self._length = start, length
        return True

    async def _forward(self, start: Message, last: Message) -> None:
        try:
            await self.send_to(start)
            await self.send_to(last)
        except OSError as error:
            self.intake.client_left(error)
            raise self.intake.gone_error() from error

    def _send_waits(self, sending: Running) -> None:
        self._converse().send_waits(sending)

    def _converse(self) -> Conversation:
        """More happens than a short answer."""
        if self._conversation is None:
            self._conversation = conversation = Conversation(
                self.intake, self.send_to, method=self._scope["method"]
            )
            for each in (self._start, self._last):
                if each is not None:
                    conversation.gate.feed(each)
        return self._conversation
