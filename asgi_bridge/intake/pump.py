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
# Rule 5: where only the disconnect can come, an application may await the server's receive() in its
#         own task, as it would without us: it sees the context that is set in there, and to cancel
#         the call loses nothing. There is no pump meanwhile; who needs one gets it afterwards.
# Rule 6: a receive() that never suspends does not keep the loop from its other tasks. What is
#         thrown away needs no room, and nobody could say else that enough was drained.
"""Pump: awaits receive(), and puts what comes where it is to go."""

from collections.abc import Awaitable, Callable

import anyio

from ..crossing.portal import Running
from ..crossing.turns import TakesTurns
from ..errors import ExchangeOver
from ..protocol.request import ENDED, GONE, announces_body
from .route import Route
from .state import NOBODY, READER, RequestState


class Pump(RequestState, TakesTurns):
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
    _direct = 0  # calls of the application's that await the server's receive() themselves
    _start_is_due = False  # somebody has wanted a pump meanwhile
    _response_complete = False

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
            and not self._direct
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
        if self._pump is not None or not self._may_receive():
            return
        if self._direct:
            self._start_is_due = True
        else:
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

    async def stop_watching(self) -> None:
        """Await no disconnect any more, if nobody else does: the response is about to be complete.

        Whoever traces the calls of the server's receive() would see one outlive the response.
        """
        pump = self._pump
        if pump is None or self.body.coming or self._waiting:
            return
        self._watching = False
        pump.cancel()
        with anyio.move_on_after(self.limits.abandon_timeout, shield=True):
            await pump.wait()
        if self._pump is pump:  # it had not begun
            self._pump = None

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
                    self.client_gone, self.disconnect = True, message
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
                if body.coming and self._owes_turn(len(chunk)):
                    await self.portal.checkpoint()
        except Exception as error:
            self._receive_failed(error)
        except BaseException as error:
            # it was not us who cancelled it
            if not self._response_complete and (self._watching or self.body.coming):
                over = ExchangeOver(f"the server's receive() ended by {type(error).__name__}")
                self._receive_failed(self.portal.shutdown.reason(error) or over)
            raise
        finally:
            self._pump = None

    def _receive_failed(self, error: Exception) -> None:
        self._way().fail(error)
        self.tell()

    def _way(self) -> Route:
        if self._route is None:
            self._route = Route(self, claimed=self._owner is READER, whole=self._whole)
        return self._route
