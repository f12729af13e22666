# What most exchanges come to: a request without a body, answered by a start and one body.
#
# Rule 1: the application is told of ASGI HTTP 2.4, and gets what that promises.
# Rule 2: a start and one body are passed on together, and cost what they must. At the first sign of
#         anything else (a body, a read, a stream, a failure, a send that waits) a Conversation goes
#         on from there. It is told of the messages that have come so far, so it knows no other way
#         to get where it is.
# Rule 3: that a send has to wait is not seen at once; to see it would cost as much as a send.
#         The loop looks at everything that runs soon after (`Portal.look_soon`), and what has not
#         returned by then waits. A shutdown looks by itself.
# Rule 4: the intake is made when somebody asks for it, which may be any thread, and it is no short
#         answer then; all else here is the loop's.
# Rule 5: the middleware calls, in this order: `call`, `finish` unless all is sent, `fail` for what
#         they raised, and `leave` in any case.
"""AppExchange: calls an application, behind the bridge."""

import threading
from collections.abc import Awaitable
from functools import partial

from ..crossing.forks import RenewedLock
from ..crossing.portal import Portal
from ..errors import ServerShutdown, tells_of_leaving
from ..intake import SCOPE_KEY, Intake
from ..limits import Limits
from ..protocol.request import announces_body
from ..protocol.response import EVENT_STREAM, EVENT_STREAM_SIZE, LENGTH_SIZE, TYPE_SIZE
from ..protocol.spec import ENOUGH, uplifted
from ..stats import Outcome
from ..types import ASGIApp, Message, Receive, Scope, Send
from .conversation import Conversation

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
        sent: whether the server has had all of a short answer.

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
        "_send_to",
        "_sending",
        "_server_receive",
        "_short",
        "_start",
        "sent",
    )

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, limits: Limits, portal: Portal
    ) -> None:
        self._scope = scope
        self._server_receive = receive
        self._send_to = send
        self._limits = limits
        self._portal = portal
        # no sign of anything else; cleared by any thread, set by none
        self._short = limits.total_timeout is None
        self._intake: Intake | None = None
        self._conversation: Conversation | None = None
        self._start: Message | None = None  # held
        self._length: bytes | None = None  # that it declares
        self._last: Message | None = None  # passed on, or about to be
        self._sending: object | None = None  # where that is done, while it is
        self.sent = False  # all of the response

    # Its course.

    def call(self, app: ASGIApp) -> Awaitable[None]:
        """Call the application; to be awaited. It raises what `Conversation.call` does."""
        scope = self._scope
        inner = dict(scope)
        inner[SCOPE_KEY] = self
        asgi = scope.get("asgi") or {}
        if asgi.get("spec_version") not in ENOUGH:
            inner["asgi"] = uplifted(asgi)
        self._portal.shutdown.add(self)
        if self._short and scope["method"] != "HEAD" and not announces_body(scope):
            return app(inner, self.receive, self.send)
        self._short = False
        return self._converse().call(app, inner, self.receive)

    def finish(self) -> Awaitable[None]:
        """The application has returned: see the response to its end; to be awaited."""
        return self._converse().finish()

    def fail(self, error: BaseException) -> Awaitable[bool]:
        """See to what `call` or `finish` has raised; to be awaited.

        Returns:
            Whether that ends here, for the client's leaving caused it, or it came of a request that
            was refused.

        Raises:
            Exception: why the exchange was cut, in its stead.
        """
        return self._converse().fail(error)

    def leave(self) -> Awaitable[None] | None:
        """The exchange is over, however it ended; what there is to be awaited."""
        self._portal.shutdown.discard(self)
        return None if self._intake is None else self._converse().close()

    @property
    def outcome(self) -> Outcome:
        """What it came to, where nothing was raised; see `Conversation.outcome`."""
        return Outcome.COMPLETE if self.sent else self._converse().outcome

    # For whoever wants the body.

    @property
    def intake(self) -> Intake:
        """The owner of the server's receive(); any thread."""
        with _making.lock:
            if self._intake is None:
                self._short = False
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
        if self.sent:
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
        self.look()
        self._converse().shut_down(error)

    # What the application answers.

    async def send(self, message: Message) -> None:
        """The application's `send`, see `Passing.send`."""
        if self._short:
            start = self._start
            if start is None:
                if message["type"] == "http.response.start" and self._holds(message):
                    return
            elif message["type"] == "http.response.body" and not message.get("more_body"):
                size, declared = len(message.get("body", b"")), self._length
                fits = declared is None or declared == b"%d" % size
                if fits and size <= self._limits.message_bytes:
                    mark = self._portal.mark()
                    if mark is not None:
                        self._short, self._last, self._sending = False, message, mark
                        if not self._portal.look_is_due:
                            self._portal.look_soon()
                        try:
                            await self._send_to(start)
                            await self._send_to(message)
                        except BaseException as error:
                            self._send_failed(error)
                            raise
                        self._sending, self.sent = None, True
                        if self._intake is not None:  # somebody has asked for it meanwhile
                            self._sent_beside()
                        return
        await self._converse().send(message)

    def _holds(self, start: Message) -> bool:
        """Hold a start; False, and nothing is done, where a Conversation has to look closer."""
        headers = start.get("headers")
        if headers.__class__ is not list or "trailers" in start:  # an iterator can be read once
            return False
        length: bytes | None = None
        for name, value in headers:
            size = len(name)
            if size == LENGTH_SIZE:  # the only one of that size, or none of them counts
                if length is not None:
                    return False
                length = value
            elif size == TYPE_SIZE and len(value) >= EVENT_STREAM_SIZE:
                if name.lower() == b"content-type" and value.lower().startswith(EVENT_STREAM):
                    return False
        self._start, self._length = start, length
        return True

    def _send_failed(self, error: BaseException) -> None:
        """The server's send has raised; returns where the application is to have that."""
        self._sending = None
        if self._conversation is not None:
            self._conversation.send_over(error)
        if isinstance(error, OSError) and tells_of_leaving(error):
            self.intake.client_left(error)
            raise self.intake.gone_error() from error

    def _sent_beside(self) -> None:
        """All is sent, and a Conversation or a reader is to know."""
        if self._conversation is not None:
            self._conversation.send_over(None)
        self._pass_end_to(self.intake)

    def look(self) -> None:
        """A send has not returned by now: it has to wait, so watch over it."""
        mark, self._sending = self._sending, None
        if mark is not None:
            self._converse().send_waits(self._portal.here(mark))

    def _converse(self) -> Conversation:
        """More happens than a short answer."""
        if self._conversation is None:
            self._conversation = conversation = Conversation(
                self.intake, self._send_to, method=self._scope["method"]
            )
            for each in (self._start, self._last):
                if each is not None:
                    conversation.gate.feed(each)
        return self._conversation
