# The application's messages on their way to the server.
#
# Rule 1: the start is held until there is content to go with it (protocol/response.py).
# Rule 2: once the client is known to be gone, send raises an OSError, as ASGI HTTP 2.4 promises. No
#         server of today does that (measured), and frameworks that are told less listen for the
#         disconnect themselves and steal the body.
# Rule 3: nothing is sent to a server after the disconnect; some leak each message, one hangs.
# Rule 4: a send that has to wait is watched over, and ends when the exchange is aborted.
# Rule 5: while a start goes out, other tasks of the application that send stand in line. It was
#         held for the first body, whose send may have to wait for the upload, and what the others
#         send would overtake it. That send is watched over, so the line has a second way out.
"""Passing: what an application sends, passed on to the server."""

from typing import Final, NoReturn

import anyio

from ..crossing.portal import Running
from ..crossing.turns import TakesTurns
from ..errors import ReadTimeout, SpoolFull, tells_of_leaving
from ..intake import Intake
from ..protocol.pieces import cuts
from ..protocol.refusal import refusal_of
from ..protocol.response import ClosedGate, Phase, ResponseGate
from ..types import Message, Send
from .line import Line
from .patience import be_patient

# A global is found in half the time of an enum's member.
COMPLETE: Final = Phase.COMPLETE

# How a framework answers an exception that it knows nothing of.
_FAILURES: Final = frozenset((400, *range(500, 600)))


class Passing(TakesTurns):
    """One application's response.

    Attributes:
        gate: how far the response has got with the application.
        whole: whether all of it has been passed on.
        intake: the owner of the server's receive().
        send_to: the server's send.
    """

    whole = False
    _line: Line | None = None  # where others stand that send; made when a start goes out
    _listens = False  # the response streams, so its sends may be aborted
    _patience: Running | None = None  # notices that a send is stuck
    _sending: anyio.CancelScope | None = None  # a send that may never return
    _waiting: tuple[Running, ...] = ()  # last messages that had to wait; of several tasks, if so
    _cut: BaseException | None = None  # why the exchange was aborted
    _late = False  # the last message, which goes out even so, began after that

    def __init__(self, intake: Intake, send: Send, *, method: str) -> None:
        self.intake = intake
        self.gate = ResponseGate(head_request=method == "HEAD")
        self.send_to = send

    async def send(self, message: Message) -> None:
        """The application's `send`.

        Raises:
            ClientDisconnected: the client is known to be gone; nothing was passed on.
            ResponseOrderError: ASGI does not allow this message now; nothing was passed on.
            LengthMismatch: it breaks the promise of the content-length; nothing was passed on.
            WriteTimeout: the client took nothing for `Limits.write_timeout` seconds.
            ServerShutdown: the server shuts down, and the response streams.
            SpoolFull: a part of the request is lost, and the exchange is cut.
        """
        line = self._line
        if line is not None:
            if line.taken:
                await line.stand()
            else:
                line = None
        try:
            if self.intake.client_gone:
                self._end_unheard(message)
                return
            if message["type"] == "http.response.start" and message["status"] in _FAILURES:
                refusal = self.intake.refusal
                if refusal is not None and self.gate.phase is Phase.INITIAL:
                    await self._refuse(refusal)
                    return
            gate = self.gate
            released = gate.feed(message)
            if not released:
                return
            if gate.phase is COMPLETE:
                await self._complete(released)
            else:
                await self._release(released)
        finally:
            if line is not None:
                line.end_turn()

    def _end_unheard(self, message: Message) -> None:
        """Take a message that nobody is there for, where the client has had all of its response.

        A client that knows the length leaves when it has so much, which may be before the
        application has said that it is over. That is no failure, to skip what is done afterwards.
        """
        is_end = message["type"] == "http.response.body" and not message.get("more_body")
        if not (is_end and self.gate.delivered):
            raise self.intake.gone_error()
        self.gate.feed(message)
        self.whole = True

    async def _release(self, released: tuple[Message, ...]) -> None:
        """Pass messages on to the server, with what has to be done before and after them."""
        intake = self.intake
        first = released[0]
        if self.gate.phase is Phase.STREAMING and first["type"] == "http.response.start":
            self._line = line = Line(intake.portal)
            try:
                await self._listen(first["status"])
                await self._forward_patiently(released)
            finally:
                line.end_turn()
            intake.on_gone(self._client_gone)
        elif not self._listens:
            await self._forward(released)
        else:
            await self._forward_patiently(released)
        if self._owes_turn(len(released[-1].get("body", b""))):
            await intake.portal.checkpoint()

    async def _complete(self, released: tuple[Message, ...]) -> None:
        """`_release`, with the last message."""
        intake = self.intake
        if intake.unread:
            await intake.drain()
        if not self._listens:
            # most sends return at once; what has to wait is watched over, like a stream
            self._late = self._cut is not None
            waiting = intake.portal.run_here(self._forward(released), self._watch_over)
            if waiting is not None and not await waiting:
                self._raise_cut()
        else:
            # Some servers tell of the disconnect while they send the last message; to cancel that
            # would break off their work on the connection. Only its timeout may.
            intake.on_gone(None)
            await self._forward_patiently(released)
        self.whole = True
        intake.response_complete()

    def _watch_over(self, sending: Running) -> None:
        self._waiting = (*self._waiting, sending)
        if self._cut is not None and not self._late:
            sending.cancel()  # it was cut after it had begun, and waits only now
        if self._patience is None:
            self._patience = be_patient(self.intake, self._abort)

    def _raise_cut(self) -> NoReturn:
        assert self._cut is not None, "only _abort stops it"
        raise self._cut

    async def _forward(self, released: tuple[Message, ...]) -> None:
        intake = self.intake
        # A send that takes long may be one that waits for the client's upload. A handler in here
        # counts its own, and twice would be never odd.
        counts = intake.sends % 2 == 0
        intake.sends += counts
        try:
            for each in released:
                if len(each.get("body", b"")) > intake.limits.message_bytes:
                    await self._send_pieces(each)
                else:
                    await self.send_to(each)
            intake.sends += counts
        except OSError as error:
            if not tells_of_leaving(error):
                raise
            intake.client_left(error)
            raise intake.gone_error() from error

    async def _forward_patiently(self, released: tuple[Message, ...]) -> None:
        """`_forward`, which ends when the exchange is aborted."""
        if self._cut is None:
            with anyio.CancelScope() as self._sending:
                await self._forward(released)
            if not self._sending.cancelled_caught:
                return
        self._raise_cut()

    def _abort(self, error: Exception) -> None:
        """Let go the application that waits in a send which may never return."""
        self._cut = self._cut or error
        for each in (self._sending, *self._waiting):
            if each is not None:
                each.cancel()

    def _client_gone(self) -> None:
        self._abort(self.intake.gone_error())

    async def _send_pieces(self, message: Message) -> None:
        """Pass on a large body in messages of the size that `Limits` allows.

        Servers hold a number of messages of any size for a client that is slow (protocol/pieces).
        """
        if not self.intake.framing.expects_continue:
            self.intake.watch()
        left = len(message["body"])
        for piece in cuts(message["body"], self.intake.limits.message_bytes):
            left -= len(piece)
            more_body = left > 0 or message.get("more_body", False)
            if self.intake.client_gone:
                raise self.intake.gone_error()
            await self.send_to({**message, "body": piece, "more_body": more_body})
            if self._owes_turn(len(piece)):
                await self.intake.portal.checkpoint()

    async def _listen(self, status: int) -> None:
        """The response streams: see that the disconnect is noticed, and the body invited."""
        intake = self.intake
        self._listens = True
        intake.on_cut(self._abort)
        self._patience = be_patient(intake, self._abort)
        if not intake.framing.expects_continue:
            intake.watch()
            if intake.limits.duplex == "half":
                await self._until_sent()
        elif status < 300:
            # Servers drop the 100 once the response has begun, so an application that streams a
            # success, and may yet read, has its body invited now. A refusal does not want it.
            await intake.invite()
            intake.watch()

    async def _until_sent(self) -> None:
        try:
            await self.intake.until_sent()
        except (ReadTimeout, SpoolFull) as error:
            self.intake.refused = error
            await self._refuse(error)
            raise

    async def _refuse(self, error: Exception) -> None:
        """Answer in the application's stead, which has nothing sent yet."""
        refusal = refusal_of(error)
        self._cut = None  # what it was cut for is answered now
        self.gate = gate = ResponseGate(head_request=self.intake.method == "HEAD")
        start = gate.feed(refusal.start)
        last = gate.feed({"type": "http.response.body", "body": refusal.body})
        await self._complete((*start, *last))
        self.gate = ClosedGate()
