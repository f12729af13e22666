# The application's messages on their way to the server.
#
# Rule 1: the start is held until there is content to go with it (protocol/response.py).
# Rule 2: nothing is sent to a server after the disconnect; some leak each message, one hangs.
# Rule 3: an application that was not promised more sees what servers do: its send returns. One that
#         streams in the task it was called in, and never listens, would stream for ever, so it is
#         stopped by an OSError at its second message.
# Rule 4: an application that looked at the version of ASGI while its body was unread does not
#         listen, since we do. It is cancelled when its client leaves, as its own listener would
#         have done.
# Rule 5: a send that has to wait is watched over where there is a time limit, and ends when the
#         exchange is aborted.
# Rule 6: while a start goes out, other tasks of the application that send stand in line. It was
#         held for the first body, whose send may have to wait for the upload, and what the others
#         send would overtake it. That send is watched over, so the line has a second way out.
# Rule 7: a large message is cut, and goes out as a whole all the same: its pieces are sent by a
#         task of their own, which is not cancelled with the application's send. The next send waits
#         for it.
"""Passing: what an application sends, passed on to the server."""

from functools import partial
from math import inf
from typing import Final, NoReturn

import anyio

from ..crossing.portal import Running
from ..crossing.turns import TakesTurns
from ..errors import (
    BridgeError,
    ClientDisconnected,
    ResponseIncomplete,
    ServerShutdown,
    tells_of_leaving,
)
from ..intake import Intake
from ..limits import asked_for
from ..protocol.pieces import cuts
from ..protocol.refusal import refusal_of
from ..protocol.response import ClosedGate, Phase, ResponseGate
from ..types import Message, Send
from .begin import before_stream
from .line import Line
from .patience import be_patient, warn_of_stopped_body

# A global is found in half the time of an enum's member.
COMPLETE: Final = Phase.COMPLETE
STREAMING: Final = Phase.STREAMING

# How a framework answers an exception that it knows nothing of.
_FAILURES: Final = frozenset((400, *range(500, 600)))

# Seconds that a stream of an application that does not listen goes on before we do. It spares short
# ones a call of the server's receive(), which those who trace them would see.
LISTEN_AFTER: Final = 0.25

# Seconds until an application is cancelled whose client has left; out of the air.
GONE_TIMEOUT: Final = 0.2


class Passing(TakesTurns):
    """One application's response.

    Attributes:
        gate: how far the response has got with the application.
        whole: whether all of it has been passed on.
        intake: the owner of the server's receive().
        send_to: the server's send.
        raises: whether send raises after the disconnect, in any task.
        task: the one that the application was called in, as the portal knows it.
        inside_framework: whether whoever called us waits for a start in any case.
    """

    whole = False
    raises = False
    task: object = None
    inside_framework = False
    _line: Line | None = None  # where others stand that send; made when a start goes out
    _listens = False  # the response streams, so its sends may be aborted
    _patience: Running | None = None  # notices that a send is stuck
    _holding: Running | None = None  # lets go a start that was held long enough
    _stopped: Running | None = None  # notices a body that has stopped behind the response
    _sending: tuple[anyio.CancelScope, ...] = ()  # sends that may never return
    _waiting: tuple[Running, ...] = ()  # last messages that had to wait; of several tasks, if so
    _pieces: Running | None = None  # a large message on its way, whose send was cancelled
    _pieces_error: Exception | None = None  # what the server's send raised at one of its pieces
    _call: anyio.CancelScope | None = None  # around the application's call, if it may be stopped
    _deadline = inf  # of that, before the client left
    _stops = False  # it is stopped when the client leaves
    _listener: Running | None = None  # begins to listen for a stream that goes on for a while
    _watches = False  # it has begun
    _streamed = False  # a message of the body has been passed on, and more are to come
    _unheard = False  # a message of the body came after the client had left
    _cut: BaseException | None = None  # why the exchange was aborted
    _torn = False  # the start's send was cancelled, and nobody can know what the server has of it
    _late = False  # the last message, which goes out even so, began after that

    def __init__(self, intake: Intake, send: Send, *, method: str, strict: bool) -> None:
        self.intake = intake
        self.gate = ResponseGate(head_request=method == "HEAD", strict=strict)
        self.send_to = send

    async def send(self, message: Message) -> None:
        """The application's `send`.

        Raises:
            ClientDisconnected: the client is known to be gone, and the application was promised to
                hear of it, or would go on for ever; nothing was passed on.
            ResponseIncomplete: the start's send was cancelled, so nothing can follow it.
            ResponseOrderError: ASGI does not allow this message now; nothing was passed on.
            LengthMismatch: it breaks the promise of the content-length; nothing was passed on.
            WriteTimeout: the client took nothing for `Limits.write_timeout` seconds, if asked for.
            ServerShutdown: the server shuts down, and the response streams.
            SpoolFull: a part of the request is lost, and the exchange is cut.
            Exception: what the server's own `send` raised.
        """
        line = self._line
        if line is not None:
            if line.taken:
                await line.stand()
            else:
                line = None
        try:
            if self._torn:
                raise ResponseIncomplete("the send of the response's start was cancelled")
            if self._pieces is not None:
                await self._finish_pieces()
            if message["type"] == "http.response.start":
                self._begin(message)
            if self.intake.client_gone:
                await self._send_unheard(message)
                return
            if message["type"] == "http.response.start" and message["status"] in _FAILURES:
                refusal = self.intake.refusal
                if refusal is not None and self.gate.phase is Phase.INITIAL:
                    await self._refuse(refusal)
                    return
            gate = self.gate
            released = gate.feed(message)
            if not released:
                if self.intake.limits.hold_timeout is not None:
                    self._holding = self.intake.portal.spawn(self._let_go_in_time)
                return
            if gate.phase is COMPLETE:
                await self._complete(released)
            else:
                await self._release(released)
        finally:
            if line is not None:
                line.end_turn()

    # The client has left.

    def _begin(self, start: Message) -> None:
        """The application's response begins."""
        intake = self.intake
        intake.response_begun = True
        intake.tell_news()
        if self._call is not None and intake.asgi is not None and intake.asgi.promised:
            self._stops = intake.keeps_coming = True
            if not intake.framing.expects_continue:
                intake.watch()
            intake.on_gone(self._stop)

    def _stop(self) -> None:
        """Cancel the application soon, for its client has left.

        Until then it may end by itself: one that reads is told in receive(), and one that has
        little to send is done with it, and with what it does afterwards.
        """
        assert self._call is not None, "only asked for inside of it"
        self._deadline = self._call.deadline
        self._call.deadline = min(self._deadline, anyio.current_time() + GONE_TIMEOUT)

    async def _send_unheard(self, message: Message) -> None:
        """Take a message that nobody is there for.

        A client that knows the length leaves when it has so much, which may be before the
        application has said that it is over. That is no failure, to skip what is done afterwards.
        """
        intake = self.intake
        more_body = bool(message.get("more_body"))
        is_body = message["type"] == "http.response.body"
        if is_body and not more_body and self.gate.delivered:
            self.gate.feed(message)
            self.whole = True
            return
        if self.raises:
            self._raise_gone()
        if self.inside_framework and self.gate.phase is Phase.INITIAL:
            await self._pass_unheard(message)
        if self._stops:
            if is_body and not more_body and self._call is not None:
                self._call.deadline = self._deadline  # what it does afterwards is not in vain
        elif is_body and more_body:
            again = self._unheard or self._streamed
            self._unheard = True
            if again and not intake.listened and intake.portal.task() is self.task:
                self._raise_gone()
        # Servers return at once, so that what the application does next has begun when a listener's
        # cancellation comes: a generator that gives back what it was given, for example.
        if self._owes_turn(len(message.get("body", b""))):
            await intake.portal.checkpoint()

    async def _pass_unheard(self, message: Message) -> None:
        """Pass a start on, for middleware around us alone.

        The application's listener may have cancelled this send already, where without us it would
        hear of the disconnect a moment later.
        """
        self.gate.feed(message)
        with anyio.move_on_after(self.intake.limits.abandon_timeout, shield=True):
            await self.send_to(message)

    def _raise_gone(self) -> NoReturn:
        self.intake.told = True
        raise self.intake.gone_error()

    def _client_gone(self) -> None:
        self.intake.told = True
        self._abort(self.intake.gone_error())

    def _let_sends_go(self) -> None:
        """The client has left: a send that waits for it would wait for ever on some servers."""
        for each in self._sending:
            each.cancel()

    async def _listen_later(self) -> None:
        """Listen for the disconnect, if nobody else does by then."""
        await anyio.sleep(LISTEN_AFTER)
        intake = self.intake
        if not (intake.listened or self.gate.phase is COMPLETE):
            self._watches = True
            intake.watch()

    # The way out.

    async def _let_go_in_time(self) -> None:
        """Let the head go when it has been held for `Limits.hold_timeout`."""
        assert self.intake.limits.hold_timeout is not None, "only spawned with a limit"
        await anyio.sleep(self.intake.limits.hold_timeout)
        released = () if self.intake.client_gone else self.gate.let_go()
        if released:
            await self._release(released)

    async def _release(self, released: tuple[Message, ...]) -> None:
        """Pass messages on to the server, with what has to be done before and after them."""
        intake = self.intake
        first = released[0]
        if self.gate.phase is STREAMING and first["type"] == "http.response.start":
            self._line = line = Line(intake.portal)
            try:
                await self._listen(first["status"])
                if intake.client_gone:
                    await self._send_unheard(released[-1])
                else:
                    await self._forward_patiently(released)
            finally:
                line.end_turn()
            if not self._stops:
                intake.on_gone(self._client_gone if self.raises else self._let_sends_go)
        elif not self._listens:
            await self._forward(released)
        else:
            await self._forward_patiently(released)
        self._streamed = self._streamed or released[-1]["type"] == "http.response.body"
        if self._owes_turn(len(released[-1].get("body", b""))):
            await intake.portal.checkpoint()

    async def _complete(self, released: tuple[Message, ...]) -> None:
        """`_release`, with the last message."""
        intake = self.intake
        if intake.unread:
            await intake.drain()
        elif self._watches or self._stops:
            await intake.stop_watching()
        # Some servers tell of the disconnect while they send the last message; to cancel that
        # would break off their work on the connection. Only its timeout may.
        intake.on_gone(None)
        if not self._listens:
            # most sends return at once; what has to wait is watched over, like a stream
            self._late = self._cut is not None
            waiting = intake.portal.run_here(self._forward(released), self._watch_over)
            if waiting is not None and not await waiting:
                self._raise_cut()
        else:
            await self._forward_patiently(released)
        self.whole = True
        intake.response_complete()

    def _watch_over(self, sending: Running) -> None:
        self._waiting = (*self._waiting, sending)
        if self._cut is not None and not self._late:
            sending.cancel()  # it was cut after it had begun, and waits only now
        if self._patience is None:
            timeout = asked_for(self.intake.limits.write_timeout)
            self._patience = be_patient(self.intake, self._abort, timeout)

    def _raise_cut(self) -> NoReturn:
        assert self._cut is not None, "only _abort stops it"
        raise self._cut

    async def _forward(self, released: tuple[Message, ...]) -> None:
        intake = self.intake
        # A send that takes long may be one that waits for the client's upload. A handler in here
        # counts its own, and twice would be never odd.
        counts = intake.sends % 2 == 0
        intake.sends += counts
        started = False
        try:
            for each in released:
                if len(each.get("body", b"")) <= intake.limits.message_bytes:
                    await self.send_to(each)
                    started = True
                elif each.get("more_body"):
                    self._pieces = intake.portal.spawn(partial(self._send_apart, each))
                    await self._finish_pieces()
                else:
                    await self._send_pieces(each)
        except OSError as error:
            if tells_of_leaving(error, promised=intake.server_raises):
                intake.client_left(error)
            raise
        except Exception:
            raise
        except BaseException:  # cancelled
            if not started and released[0]["type"] == "http.response.start":
                self._torn = self._cut is None
            raise
        finally:
            intake.sends += counts

    async def _forward_patiently(self, released: tuple[Message, ...]) -> None:
        """`_forward`, which ends when the exchange is aborted."""
        if self._cut is None:
            with anyio.CancelScope() as scope:
                self._sending = (*self._sending, scope)
                try:
                    await self._forward(released)
                finally:
                    self._sending = tuple(each for each in self._sending if each is not scope)
            if not scope.cancelled_caught:
                return
            if self._cut is None:  # the client has left
                await self._send_unheard(released[-1])
                return
        self._raise_cut()

    def _abort(self, error: Exception) -> None:
        """Let go the application that waits in a send which may never return."""
        if isinstance(error, ServerShutdown) and self.intake.has_listener:
            return  # it has been told of the disconnect, and sees to its end itself
        self._cut = self._cut or error
        self._let_sends_go()
        for each in (self._pieces, *self._waiting):
            if each is not None:
                each.cancel()

    # A large message.

    async def _send_pieces(self, message: Message) -> None:
        """Pass on a large body in messages of the size that `Limits` allows.

        Servers hold a number of messages of any size for a client that is slow (protocol/pieces).
        """
        if not self.intake.framing.expects_continue and self.intake.expected:
            self.intake.start()
        left = len(message["body"])
        for piece in cuts(message["body"], self.intake.limits.message_bytes):
            left -= len(piece)
            more_body = left > 0 or message.get("more_body", False)
            if self.intake.client_gone:
                return
            await self.send_to({**message, "body": piece, "more_body": more_body})
            if self._owes_turn(len(piece)):
                await self.intake.portal.checkpoint()

    async def _finish_pieces(self) -> None:
        """Wait until a large message has gone out.

        Raises:
            Exception: what the server's `send` raised at one of its pieces.
        """
        assert self._pieces is not None, "asked before"
        intake = self.intake
        counts = intake.sends % 2 == 0
        intake.sends += counts
        try:
            await self._pieces.wait()
        finally:
            intake.sends += counts
        self._pieces = None
        error, self._pieces_error = self._pieces_error, None
        if error is not None:
            raise error

    async def _send_apart(self, message: Message) -> None:
        try:
            await self._send_pieces(message)
        except Exception as error:
            self._pieces_error = error

    # The begin of a stream.

    async def _listen(self, status: int) -> None:
        """The response streams: see that the body is invited, and held for where it has to be."""
        intake = self.intake
        limits = intake.limits
        self._listens = True
        intake.on_cut(self._abort)
        timeout = asked_for(limits.write_timeout)
        self._patience = be_patient(intake, self._abort, timeout)
        expects = intake.framing.expects_continue
        if not expects and (self.raises or self._stops):
            intake.watch()
        elif not expects and intake.expected:
            intake.start()
        try:
            await before_stream(intake, status, patience=asked_for(limits.read_timeout))
        except ClientDisconnected:
            return
        except BridgeError as error:
            intake.refused = error
            await self._refuse(error)
            raise
        if expects and status >= 300:
            return
        if self.raises or self._stops:
            intake.watch()
        else:
            self._listener = intake.portal.spawn(self._listen_later)
        self._stopped = warn_of_stopped_body(intake)

    async def _refuse(self, error: Exception) -> None:
        """Answer in the application's stead, which has nothing sent yet."""
        refusal = refusal_of(error)
        self._cut = None  # what it was cut for is answered now
        self.gate = gate = ResponseGate(head_request=self.intake.method == "HEAD")
        start = gate.feed(refusal.start)
        last = gate.feed({"type": "http.response.body", "body": refusal.body})
        await self._complete((*start, *last))
        self.gate = ClosedGate()
