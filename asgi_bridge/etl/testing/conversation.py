# A thread of its own talks to each connection, blocking. What ends its waits: the client, and the
# fake's end, which shuts every socket down.
"""One connection to a fake: HTTP/1.1 by h11 over a blocking socket, and ways to end it badly."""

import itertools
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final

import h11

from .faults import Framing
from .record import Received

BLOCK: Final = 64 * 1024
ABORT: Final = struct.pack("ii", 1, 0)  # SO_LINGER of no seconds: close() sends a reset
_numbers = itertools.count(1)


class Cut(Exception):
    """The client's part of the conversation ended before its request did."""


class Conversation:
    """The server's side of one connection.

    Args:
        connection: a connected socket; owned by this object from now on.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._http = h11.Connection(h11.SERVER)
        self._number = next(_numbers)

    def next_request(self) -> Received | None:
        """Wait for the next request's head; None where the client has none any more.

        Raises:
            Cut: the connection ended within it, or it is not HTTP.
        """
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        event = self._next()
        if not isinstance(event, h11.Request):
            return None
        return Received(
            method=event.method.decode("ascii"),
            raw_target=event.target.decode("latin-1"),
            headers=tuple((n.decode("latin-1"), v.decode("latin-1")) for n, v in event.headers),
            connection=self._number,
        )

    def body(self) -> Iterator[bytes]:
        """The rest of the request's body, as it comes.

        Raises:
            Cut: the connection ended within it.
        """
        # a connection that ends within it is a RemoteProtocolError, so what else comes is the end
        while isinstance(event := self._next(), h11.Data):
            yield bytes(event.data)

    def start(
        self, status: int, headers: Iterable[tuple[str, str]], framing: int | Framing
    ) -> None:
        """Send the head of the answer.

        Args:
            status: of the answer.
            headers: without its framing.
            framing: its length in bytes, or CHUNKED.
        """
        chunked = isinstance(framing, Framing)
        frame = ("transfer-encoding", "chunked") if chunked else ("content-length", str(framing))
        # no body, no framing: what RFC 9110 says of these two
        frames = [] if status in (204, 304) else [frame]
        self._send(h11.Response(status_code=status, headers=[*headers, *frames]))

    def chunk(self, chunk: bytes) -> None:
        """Send some of the answer's body."""
        self._send(h11.Data(data=chunk))

    def end(self) -> None:
        """End the answer."""
        self._send(h11.EndOfMessage())

    def raw(self, data: bytes) -> None:
        """Send bytes that need not be HTTP."""
        self._socket.sendall(data)

    @property
    def reusable(self) -> bool:
        """Whether another request may come on this connection."""
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    def end_sending(self) -> None:
        """Close this side's half; the client may still send."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close by a reset."""
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        self._socket.close()

    def close(self) -> None:
        """Close; what the client sent and nobody has read makes that a reset."""
        self._socket.close()

    def _next(self) -> object:
        while True:
            try:
                event = self._http.next_event()
                if event is h11.NEED_DATA:
                    if self._http.they_are_waiting_for_100_continue:
                        self._send(h11.InformationalResponse(status_code=100, headers=[]))
                    self._http.receive_data(self._socket.recv(BLOCK))
                    continue
            except (OSError, h11.RemoteProtocolError) as error:
                raise Cut(str(error)) from error
            return event

    def _send(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if data:
            self._socket.sendall(data)
