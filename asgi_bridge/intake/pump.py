# The one owner of a server's receive().
#
# Rule 1: nobody else awaits it, and there is never more than one call pending. Two at once lose or
#         split messages on every server.
# Rule 2: a pending receive() is not cancelled before the response is complete; some servers would
#         throw away what they have just read. So it is awaited by a pump, which is started when
#         somebody first wants something from it, and not before: in a task of its own, or in the
#         server's where the whole exchange is ours (take_in).
# Rule 3: the pump reads ahead, within bounds in bytes, and stops when they are reached (route.py).
# Rule 4: after the body's end it takes one message, which is the disconnect. Applications that read
#         a body to hand it on replace receive() by one that tells the same body whenever it is
#         asked, and at once, so to go on until a disconnect comes would be to go on for ever.
# Rule 5: a receive() that never suspends does not keep the loop from its other tasks.
"""Pump: awaits receive(), and puts what comes where it is to go."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import anyio

from ..crossing.portal import Running
from ..errors import ExchangeOver
from ..limits import YIELD_BYTES, YIELD_COST
from ..protocol.pace import nothing_came
from ..protocol.request import ENDED, GONE, announces_body
from ..types import Message, Receive
from .route import Route
from .state import NOBODY, READER, RequestState

# Seconds. A server that shuts down gives what runs no more than a second or two in the end.
SHUTDOWN_DRAIN: Final = 0.5


class Pump(RequestState):
    """One request, of which messages are fetched.

    Attributes:
        full: whether nothing is fetched because there is no room for it.

    Threads: the loop's.
    """

    full = False
    _route: Route | None = None  # made when something comes, or a reader
    _whole = b""  # a claimed body that came with one message, and went no way yet
    _pump: Running | None = None
    _watching = False  # whether the pump goes on after the body, for the disconnect
    _response_complete = False
    _unyielded = 0  # what was taken in since the loop's other tasks had their turn
    _drained = False  # as far as the limits allow

    # What is known.

    @property
    def untouched(self) -> bool:
        """Whether nobody has asked for anything, so that there is nothing to close."""
        return self._body is None and self._owner is NOBODY and self._pump is None

    @property
    def quiet(self) -> bool:
        """Whether the body has come whole and nothing runs that `close` would have to stop."""
        return (
            self._pump is None
            and (self._route is None or self._route.overflow is None)
            and self._body is not None
            and self._body.phase is ENDED
        )

    @property
    def unfinished(self) -> bool:
        """Whether the client is still sending a body that somebody has begun to take in."""
        return self._pump is not None and self.expected

    @property
    def unread(self) -> bool:
        """Whether the client may still be sending a body, begun or not, that can be drained.

        One that has not been invited by a 100 is not coming, and draining would invite it.
        """
        if self._pump is not None or self._body is not None:
            return self.unfinished
        if not announces_body(self._scope):
            return False
        return not (self.framing.expects_continue or self.client_gone)

    # The pump.

    def start(self) -> None:
        """Begin to take the body in, if that has not begun."""
        if self._pump is None and self._may_receive():
            self._pump = self.portal.spawn(self._run_pump)

    def take_in(self, on_wait: Callable[[], None]) -> Awaitable[object] | None:
        """Take the body in, in the caller's own task, if that has not begun.

        Args:
            on_wait: called, on the loop, if that takes more than what has come already.

        Returns:
            None where it is here; else what is to be awaited for it at once.
        """
        if self._pump is not None or not self._may_receive():
            return self.portal.checkpoint()  # a pump takes in what has come

        def wait(running: Running) -> None:
            self._pump = running
            on_wait()

        return self.portal.run_here(self._run_pump(), wait)

    async def invite(self) -> None:
        """`start`, and see that the server's receive() has been called when this returns."""
        self.start()
        for _ in range(2):  # trio may run us before the pump once, but not twice
            await self.portal.checkpoint()

    def watch(self) -> None:
        """Go on after the body, so that the disconnect is noticed when it comes."""
        self._watching = True
        self.start()

    def _may_receive(self) -> bool:
        return not (self._response_complete or self.client_gone) and self.failure is None

    async def _run_pump(self) -> None:
        try:
            body, receive = self.body, self._server_receive
            while body.coming or (self._watching and not self.client_gone):
                is_after = not body.coming
                message = await receive()
                chunk = body.feed(message)
                if body.phase is GONE:
                    self.client_gone = True
                route = self._route
                if route is None:
                    if body.phase is ENDED and self._owner is READER:
                        if is_after:
                            break
                        self._whole = chunk
                        self.tell_news()
                        continue
                    route = self._way()
                has_room = route.sink.put(message, chunk)
                self.tell_news()
                if is_after:
                    break
                # once the body has ended only the disconnect can come, which needs no room
                while not has_room and body.coming:
                    self.full = True
                    await route.make_room()
                    has_room = route.sink.has_room()
                self.full = False
                if self._owes_turn(message):
                    await self.portal.checkpoint()
        except Exception as error:
            self._receive_failed(error)
        except BaseException as error:
            if not self._response_complete:  # it was not us who cancelled it
                over = ExchangeOver(f"the server's receive() ended by {type(error).__name__}")
                self._receive_failed(self.portal.shutdown.reason(error) or over)
            raise
        finally:
            self._pump = None

    def _owes_turn(self, message: Message) -> bool:
        """Whether the loop's other tasks are to have a turn after this message.

        A server's receive() need not suspend, and what is thrown away needs no room. Nobody could
        say then that enough was drained, or that the time for it is over.
        """
        self._unyielded += len(message.get("body", b"")) + YIELD_COST
        if self._unyielded < YIELD_BYTES:
            return False
        self._unyielded = 0
        return True

    def _receive_failed(self, error: Exception) -> None:
        self._way().fail(error)
        self.tell()

    def _way(self) -> Route:
        if self._route is None:
            self._route = Route(self, claimed=self._owner is READER, whole=self._whole)
        return self._route

    # What waits for the body without reading it.

    async def until_sent(self) -> None:
        """Wait until the client has sent all of its body, for a response that is to come after it.

        Raises:
            ReadTimeout: nothing came for `Limits.read_timeout` seconds.
            SpoolFull: nobody reads the body, and there is no room for the rest of it.
            ClientDisconnected: the client went away.
            Exception: what the server's own `receive` raised.
        """
        self.start()
        self.sends += 1  # nothing moves on this side, as if a send were under way
        while self.expected and self.failure is None:
            before = self.body.received
            with anyio.move_on_after(self.limits.read_timeout) as scope:
                await self.changed()
            if scope.cancelled_caught and self.body.received == before:
                raise nothing_came(self.limits.read_timeout)
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
                message = await receive()
                self.body.feed(message)
                if self._owes_turn(message):
                    await self.portal.checkpoint()


async def _over() -> Message:
    raise AssertionError("nobody receives after the end")
