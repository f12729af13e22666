# Who gets the body.
#
# Rule 1: until it is claimed the application reads through us as if we were not there. Once it is
#         claimed, what is here and what is in flight goes to the reader, and the application's own
#         receive() knows one message only: http.disconnect.
# Rule 2: it is claimed once, from any thread.
# Rule 3: some frameworks read before they call anyone (Django, Quart, Falcon). A body can be
#         withheld from them: they are told of an empty one, and whoever claims it gets the real.
"""Intake: a request's body, for the application or for a reader."""

import threading
from collections import deque
from functools import partial
from math import inf
from time import monotonic
from typing import Final, NoReturn

import anyio
import anyio.lowlevel

from ..crossing.body_channel import BodyChannel
from ..crossing.forks import RenewedLock
from ..crossing.inlet import loop_to_thread
from ..crossing.portal import Portal
from ..crossing.waiters import LoopWaiter
from ..errors import (
    BodyAlreadyClaimed,
    BodyIncomplete,
    BodyTooLarge,
    ReadTimeout,
    ServerShutdown,
    SpoolFull,
)
from ..identity import SameWhenCopied
from ..limits import Limits, asked_for
from ..protocol.pace import Pace, nothing_came
from ..protocol.request import ENDED, GONE, RequestBody, framing_of, may_have_body
from ..reader import BodyReader
from ..types import Message, Receive, Scope
from .afterwards import Afterwards
from .state import APPLICATION, NOBODY, READER

# Claims come from any thread; held for a comparison and an assignment, so one lock serves all.
_claiming = RenewedLock()

# Seconds that the application's own receive() waits for a body that is a reader's, before a
# response has begun. A framework that listens for the disconnect begins its response at once; out
# of the air.
CLAIMED_TIMEOUT: Final = 2.0

# Turns of the loop in which a response begins, through two BaseHTTPMiddlewares of Starlette's, too.
TURNS_TO_BEGIN: Final = 8

_REFUSALS = (BodyTooLarge, BodyIncomplete, ReadTimeout, SpoolFull)


class Intake(Afterwards, SameWhenCopied):
    """One request's side towards the server.

    Threads: the loop's, but for `claim` and `reader`.
    """

    _withheld = False  # the owner is a reader that has not claimed yet; guarded by _claiming
    _empty_body_pending = False  # the application has yet to be told of an empty body
    _rate: Pace | None = None  # made when the application first waits for the body, if asked for
    _direct_scopes: tuple[anyio.CancelScope, ...] = ()  # around the calls that `_direct` counts
    claimed_at = "before"  # where open_body was called

    @property
    def refusal(self) -> Exception | None:
        """Why the request is refused, as whoever reads it has been told; None where it is not."""
        if self.refused is not None or self._route is None:
            return self.refused
        failure = self._route.reader_failure
        return failure if isinstance(failure, _REFUSALS) else None

    def end(self, error: Exception) -> None:
        """Let go whoever waits for the body, or will: nobody gets any more of it."""
        self.refused = error
        self.break_reader(error)
        for scope in self._direct_scopes:
            scope.cancel()
        self.tell()

    # The application's side.

    @property
    def intake(self) -> "Intake":
        """Itself, for whoever finds it in a scope; or an exchange, which has one."""
        return self

    @property
    def has_listener(self) -> bool:
        """Whether the application waits for the disconnect."""
        return self._direct > 0 or (bool(self._waiting) and self.listened)

    async def receive(self) -> Message:
        """The wrapped application's `receive`.

        Raises:
            BodyTooLarge: the body is longer than `Limits.max_body_bytes`.
            BodyIncomplete: it has ended before its Content-Length.
            ReadTimeout: nothing came for `Limits.read_timeout` seconds, if that was asked for.
            BodyTooSlow: it came at less than `Limits.min_body_rate`, likewise.
            BodyAlreadyClaimed: `open_body` has been called before this, and no response has begun.
            Exception: what the server's own `receive` raised.

        Cancellation: loses nothing; the next call gets the message.
        """
        if self._empty_body_pending:
            await anyio.lowlevel.checkpoint()
            self._empty_body_pending = False
            return {"type": "http.request", "body": b"", "more_body": False}
        # A call under a scope that is cancelled already is a poll for the disconnect (Starlette's
        # is_disconnected). Where the server's receive() suspends it hears of none, so we listen.
        polls = anyio.current_effective_deadline() == -inf
        if self._is_direct:
            if polls:
                try:
                    return await self._receive_directly()
                except anyio.get_cancelled_exc_class():
                    self.watch()
                    raise
            if self.nested and not self.response_begun:
                return await self._receive_beside_reader()
            return await self._receive_directly()
        route = self._way()
        mine = route.application
        give_up: float | None = None  # when a call for a body that is a reader's has waited enough
        if self._owner is not READER:
            self.start()
            if mine is not None and mine.messages:
                # A poll must not take a chunk along, and yet be told of the disconnect: an
                # application that polls may never read, not even that its body is empty.
                if polls:
                    self.listened = True
                    self.watch()
                    if self.client_gone:
                        return self._disconnect()
                await anyio.lowlevel.checkpoint()
        elif not self._withheld:
            give_up = monotonic() + CLAIMED_TIMEOUT
        while True:
            if mine is not None and mine.messages and self._own_for_application():
                message = mine.pop()
                route.made_room()
                if not message.get("more_body"):
                    self.body_is_read()
                return message
            claimed = self._owner is READER
            if claimed or route.overflow is None:  # what is on its way round comes first
                if not claimed:
                    self.raise_failure()
                if self.client_gone:
                    if not (polls or self.response_begun):
                        await self._let_response_begin()
                    return self._disconnect()
                error = None if claimed else self.body.error or self.refused
                if error is not None and not self._response_complete:
                    if isinstance(error, ServerShutdown) and not self.body.coming:
                        return self._disconnect()  # it listens: that is what it waits for
                    self._refuse(error)
            if self._response_complete and (claimed or not self.unfinished):
                return self._disconnect()
            if claimed or not self.body.coming:
                self.listened = True
                if not (self._withheld and self.framing.expects_continue):
                    self.watch()
                if self.nested and give_up is None and not polls:
                    give_up = monotonic() + CLAIMED_TIMEOUT
                await self._wait_beside_reader(give_up)
            elif self.body.coming and may_have_body(self._scope):
                await self._owed()
            else:
                await self.changed()
            # On asyncio a message may come before the cancellation of a scope is delivered; the
            # call is to end with the cancellation then, and not with a chunk that nobody takes.
            await anyio.lowlevel.checkpoint_if_cancelled()

    async def _let_response_begin(self) -> None:
        """Let a task beside the listener's begin the response before that is told to cancel it.

        What the response gives back at its end, it can give back only once it has begun; through
        middleware with a task of its own that takes some turns of the loop.
        """
        for _ in range(TURNS_TO_BEGIN):
            await self.portal.checkpoint()

    def _disconnect(self) -> Message:
        self.told = self.listened = True
        self.body_is_read()
        return self.disconnect or {"type": "http.disconnect"}

    def body_is_read(self) -> None:
        """The application has met the end of the body, or will get none of it. Any thread."""
        if self.asgi is not None:
            self.asgi.body_is_read()

    # What needs no pump.

    @property
    def _is_direct(self) -> bool:
        """Whether only the disconnect, or the end of no body, can come, and nobody fetches it."""
        return (
            self._owner is not READER
            and self._pump is None
            and not (self.client_gone or self._response_complete)
            and self.failure is None
            and self.refused is None
            and (self.body.phase is ENDED or not may_have_body(self._scope))
            and (self._route is None or self._route.idle)
        )

    async def _receive_directly(self) -> Message:
        """Await the server's receive() in the application's own task."""
        self.listened = self.listened or self.body.phase is ENDED
        self._direct += 1
        message: Message | None = None
        scope = anyio.CancelScope()
        try:
            with scope:
                self._direct_scopes = (*self._direct_scopes, scope)
                message = await self._server_receive()
        finally:
            self._direct -= 1
            self._direct_scopes = tuple(each for each in self._direct_scopes if each is not scope)
            if message is None:
                self.listened = True
            if self._start_is_due and not self._direct and message is None:
                self._start_is_due = False
                self.start()
        if message is None:
            return self._disconnect()  # the server shuts down
        return await self._take_directly(message)

    async def _receive_beside_reader(self) -> Message:
        """The same, where a reader has taken the body through somebody in between.

        Raises:
            BodyAlreadyClaimed: no response has begun for a while, see `_wait_beside_reader`.
        """
        with anyio.move_on_after(CLAIMED_TIMEOUT):
            return await self._receive_directly()
        if not self.response_begun:
            raise self._already_claimed()
        return await self._receive_directly()

    async def _take_directly(self, message: Message) -> Message:
        """Note what has come, and give it to whom it belongs."""
        chunk = self.body.feed(message)
        mine = self._own_for_application()
        if self.body.phase is GONE:
            self.client_gone, self.disconnect = True, message
        elif not mine:  # claimed meanwhile
            self._way().sink.put(message, chunk)
        due, self._start_is_due = self._start_is_due, False
        if due:
            self.start()
        self.tell()
        if not mine:
            return await self.receive()
        if self.client_gone:
            return self._disconnect()
        if self.body.error is not None:
            self._refuse(self.body.error)
        if self.body.phase is ENDED:
            self.body_is_read()
        return message

    # How long it waits.

    async def _wait_beside_reader(self, give_up: float | None) -> None:
        """Wait until something has changed, where the body is a reader's.

        Args:
            give_up: when a call that came after the claim has waited enough, None for one that
                was there before. A framework's body() would wait for ever, and with it the
                response; a listener's response begins soon after.

        Raises:
            BodyAlreadyClaimed: that time has come, and no response has begun.
        """
        if give_up is None or self.response_begun:
            await self.changed()
            return
        with anyio.move_on_after(max(0.0, give_up - monotonic())) as scope:
            await self.changed()
        if scope.cancelled_caught and not (self.response_begun or self.client_gone):
            raise self._already_claimed()

    def _already_claimed(self) -> BodyAlreadyClaimed:
        return BodyAlreadyClaimed(
            "receive() waits for a request body that is a reader's: open_body claimed it "
            f"{self.claimed_at}; read it there, or read it from receive() and without open_body"
        )

    async def _owed(self) -> None:
        """Wait until something has changed, while the client owes us the rest of the body."""
        body, limits = self.body, self.limits
        before, began = body.received, monotonic()
        timeout = asked_for(limits.read_timeout)
        with anyio.move_on_after(timeout) as scope:
            await self.changed()
        if self._owner is READER:
            return  # claimed meanwhile: its reader has these limits of its own
        if scope.cancelled_caught and body.received == before:
            self._refuse(nothing_came(timeout))
        if self._rate is None and asked_for(limits.min_body_rate) is not None:
            self._rate = limits.pace()
        if self._rate is not None:
            failure = self._rate.failure_after(monotonic() - began, body.received)
            # Once the response has begun, the pace of the conversation is the application's
            # business: it holds no thread.
            if failure is not None and not self.sends:
                self._refuse(failure)

    def _refuse(self, error: Exception) -> NoReturn:
        self.refused = error
        self.body_is_read()
        raise error.with_traceback(None)

    def _own_for_application(self) -> bool:
        with _claiming.lock:
            if self._owner is READER:
                return False
            self._owner = APPLICATION
            return True

    # The reader's side.

    @classmethod
    def claimed(cls, scope: Scope, receive: Receive, limits: Limits, portal: Portal) -> "Intake":
        """A new one, whose body has been claimed."""
        intake = cls(scope, receive, limits, portal)
        intake._owner = READER
        intake._framing = framing = framing_of(scope.get("headers", ()))
        intake._body = RequestBody(framing.length, limits.max_body_bytes)
        return intake

    def read_through(self, other: "Intake", at: str) -> "Intake":
        """Have another intake end with this one; any thread.

        It takes in what somebody in between makes of what ours gives.
        """
        with _claiming.lock:
            self.nested = (*self.nested, other)
            self.claimed_at = at
        return other

    def withhold(self) -> None:
        """Keep the body for a reader, if nobody has asked for it yet."""
        with _claiming.lock:
            if self._owner is NOBODY:
                self._owner = READER
                self._withheld = self._empty_body_pending = True
                self.body_is_read()

    @property
    def withheld(self) -> bool:
        """Whether the body is kept for whoever claims it."""
        return self._withheld

    def claim(self, at: str = "before") -> None:
        """Take the body for a reader; any thread.

        Args:
            at: where that was asked for, as a part of a sentence.

        Raises:
            BodyAlreadyClaimed: there is a reader, or the application has read from it itself.
        """
        with _claiming.lock:
            if not (self._owner is NOBODY or self._withheld or self._read_nothing):
                raise BodyAlreadyClaimed(f"the request body cannot be claimed: {self._owner.value}")
            self._owner = READER
            self._withheld = False
            self.claimed_at = at
            self.body.hold_to_length()
        self.body_is_read()

    @property
    def _read_nothing(self) -> bool:
        """Whether all that the application has read is the end of no body."""
        body = self._body
        return (
            self._owner is APPLICATION
            and body is not None
            and body.phase is ENDED
            and body.received == 0
            and (self._route is None or self._route.idle)
        )

    def reader(self, *, start: bool = True) -> BodyReader:
        """The reader of a body that was claimed; any thread, once.

        Args:
            start: begin to take messages in at once; else with the reader's first wait, which is
                what keeps a 100-continue from being sent for a body that nobody reads.
        """
        loop_thread_id = self.portal.thread_id
        here = threading.get_ident() == loop_thread_id
        ended = self._body is not None and self._body.phase is ENDED
        # What came whole needs no channel; after the response it may be drained, or gone.
        if here and ended and not self._response_complete:
            if self._route is None:
                whole, self._whole = self._whole, b""
                return BodyReader(None, loop_thread_id, deque((whole,) if whole else ()))
            if self._route.overflow is None:
                return BodyReader(None, loop_thread_id, self._route.take_chunks())
        channel, room, receiver = loop_to_thread(
            self.portal,
            self.limits.request,
            timeout=self.limits.read_timeout,
            pace=self.limits.pace(),
            on_demand=None if start else self._start_soon,
        )
        if here:
            self._connect(channel, room, start)
        else:
            self.portal.post(partial(self._connect, channel, room, start))
        return BodyReader(receiver, loop_thread_id)

    def _start_soon(self) -> None:
        self.portal.post(self.start)

    def _connect(self, channel: BodyChannel, room: LoopWaiter, start: bool) -> None:
        self._way().connect(channel, room, over=self._response_complete)
        if start:
            self.start()
