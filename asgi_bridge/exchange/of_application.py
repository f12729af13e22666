# What most exchanges come to: a request without a body, answered by a start and one body.
#
# Rule 1: the application gets the server's own scope, with one key more, and is told of the
#         server's own ASGI. Only where a body may come is that another mapping, see
#         protocol/spec.py.
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
from collections.abc import Awaitable, Iterable
from functools import partial
from typing import Any, Final

from ..crossing.forks import RenewedLock
from ..crossing.portal import Portal
from ..errors import ServerShutdown, tells_of_leaving
from ..identity import SameWhenCopied
from ..intake import SCOPE_KEY, Intake
from ..limits import Limits
from ..protocol.request import keep_headers, may_have_body
from ..protocol.response import EVENT_STREAM_SIZE, EVENT_STREAMS, LENGTH_SIZE, TYPE_SIZE
from ..protocol.spec import AsgiOfUnreadBody, own_asgi, raises_when_gone
from ..quirks import is_inside_framework, passes_wrong_framing
from ..stats import Outcome
from ..types import Message, Receive, Scope, Send
from .conversation import Conversation

_BODY_HEADERS: Final = (b"content-encoding", b"content-length", b"transfer-encoding")

# Held to make an intake and to post a call at most, so one lock serves all.
_making = RenewedLock()


class AppExchange(SameWhenCopied):
    """One request on its way through an application, which finds this in its scope.

    Args:
        scope: the request's scope.
        receive: the server's callable.
        send: likewise.
        limits: what may be held and how long to wait.
        portal: the loop.
        raises: whether the application has asked for the promise of ASGI 2.4, that send raises
            after the disconnect.

    Attributes:
        sent: whether the server has had all of a short answer.
        portal: as above.

    Threads: the loop's, but for `intake`.
    """

    __slots__ = (
        "__weakref__",
        "_asgi",
        "_conversation",
        "_head",
        "_intake",
        "_last",
        "_length",
        "_limits",
        "_outer",
        "_raises",
        "_scope",
        "_send_to",
        "_sending",
        "_server_receive",
        "_short",
        "_start",
        "_task",
        "portal",
        "sent",
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        limits: Limits,
        portal: Portal,
        *,
        raises: bool = False,
    ) -> None:
        self._scope = scope
        if scope.get("headers").__class__ is not list:
            keep_headers(scope)
        # what the request's head says, whatever the application writes into its scope
        self._head = dict(scope)
        self._server_receive = receive
        self._send_to = send
        self._limits = limits
        self.portal = portal
        self._raises = raises
        # no sign of anything else; cleared by any thread, set by none
        self._short = limits.total_timeout is None and limits.hold_timeout is None
        self._intake: Intake | None = None
        self._conversation: Conversation | None = None
        self._start: Message | None = None  # held
        self._length: bytes | None = None  # that it declares
        self._last: Message | None = None  # passed on, or about to be
        self._sending: object | None = None  # where that is done, while it is
        self.sent = False  # all of the response
        self._asgi: AsgiOfUnreadBody | None = None  # in the scope, where that is not the server's

    # Its course.

    def call(self, app: Any) -> Awaitable[Any]:
        """Call the application; to be awaited. It raises what `Conversation.call` does."""
        scope, portal = self._scope, self.portal
        self._outer: object = scope.get(SCOPE_KEY)  # what stood there in our place
        scope[SCOPE_KEY] = self
        if self._raises or may_have_body(scope):
            self._short = False  # it may have to be stopped
            self._tell_of_asgi(scope)
        portal.shutdown.add(self)
        self._task: object = portal.task()  # that the application is called in
        if self._short and scope["method"] != "HEAD":
            called: Awaitable[Any] = app(scope, self.receive, self.send)
            return called
        self._short = False
        return self._converse().call(app, scope, self.receive)

    def _tell_of_asgi(self, scope: Scope) -> None:
        """Tell the application of ASGI 2.4, until its body has been read, or for good."""
        own = own_asgi(scope.get("asgi"))
        if raises_when_gone(own):
            self._raises = True
            return
        self._asgi = asgi = AsgiOfUnreadBody(own)
        scope["asgi"] = asgi
        if self._intake is not None and not self._raises:  # its body is withheld
            asgi.body_is_read()

    def ask_to_raise(self) -> None:
        """An application further in wants the promise of ASGI 2.4 for good."""
        if not self._raises:
            self._raises, self._short = True, False
            self._tell_of_asgi(self._scope)
            self._converse().raises = True

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
        self.portal.shutdown.discard(self)
        scope, self._task = self._scope, None
        # what stood there before, unless somebody else has put something there
        if scope.get(SCOPE_KEY) is self:
            if self._outer is None:
                del scope[SCOPE_KEY]
            else:
                scope[SCOPE_KEY] = self._outer
        if self._asgi is not None:
            own = self._asgi.own
            if scope.get("asgi") is not self._asgi:
                pass
            elif own is None:
                del scope["asgi"]
            else:
                scope["asgi"] = own
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
                    self._head, self._server_receive, self._limits, self.portal
                )
                intake.response_begun = self._start is not None
                if not self._raises:
                    intake.asgi = self._asgi
                if threading.get_ident() == self.portal.thread_id:
                    self._pass_end_to(intake)
                else:  # the end may come just now; whoever reads is connected after it
                    self.portal.post(partial(self._pass_end_to, intake))
            return self._intake

    def _pass_end_to(self, intake: Intake) -> None:
        """Let it know, if the response is complete."""
        if self.sent:
            intake.response_complete()

    def reuses(self, receive: Receive) -> bool:
        """Whether `receive` is this exchange's own, with nobody's wrapper in between."""
        return receive == self.receive

    def shows_replacement(self, scope: Scope) -> bool:
        """Whether somebody in between has changed what a scope's headers say of the body.

        Whoever unpacks a body on the way does that, and then the body that belongs to the scope
        comes from another `receive` than ours.
        """
        if scope is self._scope:
            return False
        return _of_body(scope.get("headers", ())) != _of_body(self._head["headers"])

    def read_through(self, scope: Scope, receive: Receive, limits: Limits, at: str) -> Intake:
        """A body that comes from a `receive` of somebody's in between; any thread.

        Args:
            scope: the one that goes with it.
            receive: as above.
            limits: for its reader.
            at: where that was asked for, as a part of a sentence.
        """
        nested = Intake.claimed(scope, receive, limits, self.portal)
        return self.intake.read_through(nested, at)

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
                if fits and size <= self._limits.message_bytes:  # else the gate looks closer
                    mark = self.portal.mark()
                    if mark is not None:
                        self._short, self._last, self._sending = False, message, mark
                        if not self.portal.look_is_due:
                            self.portal.look_soon()
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
                if name.lower() == b"content-type" and value.lower().startswith(EVENT_STREAMS):
                    return False
        self._start, self._length = start, length
        return True

    def _send_failed(self, error: BaseException) -> None:
        """The server's send has raised; returns where the application is to have that."""
        self._sending = None
        if self._conversation is not None:
            self._conversation.send_over(error)
        if isinstance(error, OSError):
            intake = self.intake
            if tells_of_leaving(error, promised=intake.server_raises):
                intake.client_left(error)

    def _sent_beside(self) -> None:
        """All is sent, and a Conversation or a reader is to know."""
        if self._conversation is not None:
            self._conversation.send_over(None)
        self._pass_end_to(self.intake)

    def look(self) -> None:
        """A send has not returned by now: it has to wait, so watch over it."""
        mark, self._sending = self._sending, None
        if mark is not None:
            self._converse().send_waits(self.portal.here(mark))

    def _converse(self) -> Conversation:
        """More happens than a short answer."""
        if self._conversation is None:
            self._conversation = conversation = Conversation(
                self.intake,
                self._send_to,
                method=self._head["method"],
                strict=passes_wrong_framing(self._head),
            )
            conversation.raises = self._raises
            conversation.inside_framework = is_inside_framework(self._head)
            conversation.task = self._task
            for each in (self._start, self._last):
                if each is not None:
                    conversation.gate.feed(each)
        return self._conversation


def _of_body(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """What headers say of a body's length and codings."""
    return sorted((name, value) for name, value in headers if name in _BODY_HEADERS)
