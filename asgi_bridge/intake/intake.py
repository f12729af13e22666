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
from typing import NoReturn

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
    SpoolFull,
)
from ..limits import Limits
from ..protocol.pace import Pace, nothing_came
from ..protocol.request import ENDED, RequestBody, announces_body, framing_of
from ..reader import BodyReader
from ..types import Message, Receive, Scope
from .afterwards import Afterwards
from .state import NOBODY, READER, SCOPE_KEY, Owner

# Claims come from any thread; held for a comparison and an assignment, so one lock serves all.
_claiming = RenewedLock()

_REFUSALS = (BodyTooLarge, BodyIncomplete, ReadTimeout, SpoolFull)


class Intake(Afterwards):
    """One request's side towards the server.

    Threads: the loop's, but for `claim` and `reader`.
    """

    _withheld = False  # the owner is a reader that has not claimed yet; guarded by _claiming
    _tells_of_none = False  # the application has yet to be told of an empty body
    _pace: Pace | None = None  # made when the application first waits for the body

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
        self.tell()

    # The application's side.

    @property
    def intake(self) -> "Intake":
        """Itself, for whoever finds it in a scope; or an exchange, which has one."""
        return self

    async def receive(self) -> Message:
        """The wrapped application's `receive`.

        Raises:
            BodyTooLarge: the body is longer than `Limits.max_body_bytes`.
            BodyIncomplete: it has ended before its Content-Length.
            ReadTimeout: nothing came for `Limits.read_timeout` seconds.
            BodyTooSlow: it came at less than `Limits.min_body_rate`.
            Exception: what the server's own `receive` raised.

        Cancellation: loses nothing; the next call gets the message.
        """
        if self._tells_of_none:
            await anyio.lowlevel.checkpoint()
            self._tells_of_none = False
            return {"type": "http.request", "body": b"", "more_body": False}
        route = self._way()
        mine = route.application
        if self._owner is not READER:
            self.start()
            if mine is not None and mine.messages:
                # A call under a scope that is cancelled already (that is how Starlette polls for
                # a disconnect) must not take a chunk along, and yet be told of the disconnect: an
                # application that polls may never read, not even that its body is empty.
                if anyio.current_effective_deadline() == -inf:
                    self.watch()
                    if self.client_gone:
                        return {"type": "http.disconnect"}
                await anyio.lowlevel.checkpoint()
        while True:
            if mine is not None and mine.messages and self._own_for_application():
                message = mine.pop()
                route.made_room()
                return message
            claimed = self._owner is READER
            if claimed or route.overflow is None:  # what is on its way round comes first
                if not claimed:
                    self.raise_failure()
                if self.client_gone:
                    return {"type": "http.disconnect"}
                error = None if claimed else self.body.error or self.refused
                if error is not None and not self._response_complete:
                    self._refuse(error)
            if self._response_complete and (claimed or not self.unfinished):
                return {"type": "http.disconnect"}
            if not (self._withheld and self.framing.expects_continue):
                self.watch()
            if claimed or not (self.body.coming and announces_body(self._scope)):
                await self.changed()
            else:
                await self._owed()
            # On asyncio a message may come before the cancellation of a scope is delivered; the
            # call is to end with the cancellation then, and not with a chunk that nobody takes.
            await anyio.lowlevel.checkpoint_if_cancelled()

    async def _owed(self) -> None:
        """Wait until something has changed, while the client owes us the rest of the body."""
        body, limits = self.body, self.limits
        before, began = body.received, monotonic()
        with anyio.move_on_after(limits.read_timeout) as scope:
            await self.changed()
        if self._owner is READER:
            return  # claimed meanwhile: its reader has these limits of its own
        if scope.cancelled_caught and body.received == before:
            self._refuse(nothing_came(limits.read_timeout))
        if self._pace is None:
            self._pace = limits.pace()
        if self._pace is not None:
            failure = self._pace.failure_after(monotonic() - began, body.received)
            # Once the response has begun, the pace of the conversation is the application's
            # business: it holds no thread.
            if failure is not None and not self.sends:
                self._refuse(failure)

    def _refuse(self, error: Exception) -> NoReturn:
        self.refused = error
        raise error.with_traceback(None)

    def _own_for_application(self) -> bool:
        with _claiming.lock:
            if self._owner is READER:
                return False
            self._owner = Owner.APPLICATION
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

    def withhold(self) -> None:
        """Keep the body for a reader, if nobody has asked for it yet."""
        with _claiming.lock:
            if self._owner is NOBODY:
                self._owner = READER
                self._withheld = self._tells_of_none = True

    def claim(self) -> None:
        """Take the body for a reader; any thread.

        Raises:
            BodyAlreadyClaimed: there is a reader, or the application has read from it itself.
        """
        with _claiming.lock:
            if self._owner is not NOBODY and not self._withheld:
                raise BodyAlreadyClaimed(f"the request body cannot be claimed: {self._owner.value}")
            self._owner = READER
            self._withheld = False

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


def intake_of(scope: Scope) -> Intake | None:
    """The intake of the request that a scope is of; None where nobody has put one there."""
    intake = getattr(scope.get(SCOPE_KEY), "intake", None)
    return intake if isinstance(intake, Intake) else None
