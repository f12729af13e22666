# What becomes of a body that nobody reads, or reads no more.
#
# Rule 1: the server is not left with messages that it has no room for: some of them hang, or break
#         the connection, if the response ends meanwhile.
# Rule 2: every wait here has a bound of its own, in seconds, and what is taken in has one in bytes.
"""Afterwards: what an intake does beside the reading, and at the end of its exchange."""

from functools import partial
from typing import Final

import anyio

from ..errors import ExchangeOver
from ..protocol.pace import nothing_came
from ..protocol.request import announces_body
from ..types import Message, Receive
from .pump import Pump

# Seconds. A server that shuts down gives what runs no more than a second or two in the end.
SHUTDOWN_DRAIN: Final = 0.5


class Afterwards(Pump):
    """One request, whose rest is seen to.

    Threads: the loop's.
    """

    _drained = False  # as far as the limits allow
    nested: "tuple[Afterwards, ...]" = ()  # that take in what somebody in between makes of ours

    # What waits for the body without reading it.

    async def until_sent(self, patience: float | None, *, or_paused: float | None = None) -> None:
        """Wait until the client has sent all of its body, for a response that is to come after it.

        Args:
            patience: longest wait in seconds for the next bytes, None for no limit.
            or_paused: seconds without any bytes that will do as well, though we would take them.

        Raises:
            ReadTimeout: nothing came in that time.
            SpoolFull: nobody reads the body, and there is no room for the rest of it.
            ClientDisconnected: the client went away.
            Exception: what the server's own `receive` raised.
        """
        self.start()
        self.sends += 1  # nothing moves on this side, as if a send were under way
        try:
            while self.expected and self.failure is None:
                # what stands still while we take nothing is no pause of the client's
                before, was_full = self.body.received, self.full
                with anyio.move_on_after(patience if or_paused is None else or_paused) as scope:
                    await self.changed()
                if or_paused is not None and self.wanted is not None and not self.wanted():
                    return  # nobody reads the rest
                if not scope.cancelled_caught or self.body.received != before:
                    continue
                if or_paused is None:
                    raise nothing_came(patience)
                if not (self.full or was_full):
                    return
        finally:
            self.sends += 1
        self.raise_failure()
        if self.client_gone:
            raise self.gone_error()

    async def drain(self) -> None:
        """Take in an upload that nobody will read, before the last message of its response.

        Sending that message while messages queue up kills the connection on one server and
        dead-locks the send on another; a client that is still writing may lose the response. It
        goes on, within the bounds of `Limits`, until the body ends; after that the pump still
        throws away what comes, so that the last send cannot be held up by it. Once is enough.
        """
        if self._drained:
            return
        self._drained = True
        self._way().discard(ExchangeOver("the response is complete"))
        self.start()
        bound = self.body.received + self.limits.drain_bytes
        seconds = self.limits.drain_timeout
        if self.portal.shutdown.begun is not None:
            seconds = min(seconds, SHUTDOWN_DRAIN)
        with anyio.move_on_after(seconds):
            while self.unfinished and self.body.received < bound:
                await self.changed()

    # The end.

    def response_complete(self) -> None:
        """The response is complete: whoever still waits in `receive` gets its disconnect."""
        self._response_complete = True
        if self._waiting:
            self.tell()

    def break_reader(self, error: BaseException) -> None:
        """Make the reader, waiting or not, meet `error`; what it has not taken is dropped."""
        if self._route is not None:
            self._route.break_reader(error)

    async def close(self, error: BaseException, *, failed: bool = False) -> None:
        """The exchange is over: stop the pump, and wake a reader that is still there.

        Args:
            error: what a read raises from now on.
            failed: whether the server has to cut it, see `_sweep`.
        """
        self._response_complete = True
        for each in self.nested:
            await each.close(error)
        self.nested = ()
        self.break_reader(error)
        if (pump := self._pump) is not None:
            pump.cancel()
            # it ends as soon as the server's receive() lets go of it
            with anyio.move_on_after(self.limits.abandon_timeout, shield=True):
                await pump.wait()
        if self._route is not None:
            with anyio.move_on_after(self.limits.abandon_timeout, shield=True):
                await self._route.aclose()
        # Granian closes the connection of a response that came before the end of its request once
        # its receive() is held by nobody.
        receive, self._server_receive = self._server_receive, _over
        if failed and receive is not _over and self._still_sent:
            self.portal.spawn_free(partial(self._sweep, receive))
        self.tell()
        self.let_go()

    def let_go(self) -> None:
        """Let go those that hold us, so that no collector is needed to free what an exchange held.

        That may be megabytes of chunks, and a collector comes by when it has counted objects.
        """
        self._route = self.wanted = self._on_gone = self._on_cut = self._on_ready = None
        self.asgi = self.leaving = None

    @property
    def _still_sent(self) -> bool:
        """Whether the client still sends its body, for all that is known, and was invited to."""
        invited = announces_body(self._scope) and not self.framing.expects_continue
        return self.failure is None and self.body.coming and (self.body.received > 0 or invited)

    async def _sweep(self, receive: Receive) -> None:
        """Take in what still comes of an upload whose exchange has failed.

        For one server only, which cannot be known here: Hypercorn has a queue of ten messages for
        an application. It puts the disconnect there before it cuts the connection, and waits for
        room even if the application is gone. So a client that goes on sending would never learn
        of the failure, and two tasks and a socket would be left for ever. Other servers tell of
        the disconnect at once.
        """
        with anyio.move_on_after(self.limits.abandon_timeout):
            while self.body.coming:
                if self._owes_turn(len(self.body.feed(await receive()))):
                    await self.portal.checkpoint()


async def _over() -> Message:
    raise AssertionError("nobody receives after the end")
