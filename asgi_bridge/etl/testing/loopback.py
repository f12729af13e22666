"""A fake HTTP server on loopback: threads, orders, and records of what it was sent."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from .behaviour import Behaviour, Reply
from .conversation import Conversation, Cut
from .faults import Fault
from .record import WAIT, Received, Records

HOST: Final = "127.0.0.1"
JOIN: Final = 5.0  # seconds for a thread to end whose socket has been shut down


@dataclass(slots=True)
class Order:
    """A fault that waits for its requests.

    Attributes:
        fault: what is to happen.
        method: to which requests, None for all.
        times: how often still, None for always.
    """

    fault: Fault
    method: str | None
    times: int | None

    def fits(self, request: Received) -> bool:
        """Whether it is for this request."""
        return self.times != 0 and self.method in (None, request.method)


class LoopbackServer:
    """What the fakes share. A context manager: it listens within its `with` block.

    Each connection has a thread of its own. When the block ends, every connection is shut down,
    and every thread joined.

    Args:
        tls: speak HTTPS with this context.

    Attributes:
        port: on 127.0.0.1; 0 before the block.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.port = 0
        self._tls = tls
        self._listener = socket.socket()
        self._closing = threading.Event()
        self._records = Records()
        self._lock = threading.Lock()
        self._orders: list[Order] = []  # guarded by _lock
        self._sockets: set[socket.socket] = set()  # guarded by _lock
        self._threads: list[threading.Thread] = []  # guarded by _lock

    def __enter__(self) -> Self:
        self._listener.bind((HOST, 0))
        self._listener.listen(128)
        self.port = self._listener.getsockname()[1]
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        _shut_down(self._listener)
        self._listener.close()
        with self._lock:
            sockets, threads = list(self._sockets), list(self._threads)
        for each in sockets:
            _shut_down(each)
        for thread in threads:
            thread.join(JOIN)

    @property
    def origin(self) -> str:
        """Scheme, host and port: http://127.0.0.1:port."""
        return f"{'https' if self._tls else 'http'}://{HOST}:{self.port}"

    @property
    def requests(self) -> list[Received]:
        """What it was sent so far, the oldest first."""
        return self._records.copy()

    def until(
        self, holds: Callable[[list[Received]], bool], timeout: float = WAIT
    ) -> list[Received]:
        """Wait until something holds of the requests, and return them.

        Args:
            holds: called with all requests whenever one has come, grown or ended.
            timeout: seconds.

        Raises:
            TimeoutError: it did not come to hold in time.
        """
        return self._records.until(holds, timeout)

    def order(self, fault: Fault, *, method: str | None = None, times: int | None = 1) -> None:
        """Have something go wrong. Orders are followed in the order they were given.

        Args:
            fault: what is to happen.
            method: only to requests with this method.
            times: to so many requests, None for all.
        """
        with self._lock:
            self._orders.append(Order(fault, method, times))

    def reset(self) -> None:
        """Forget all orders and requests."""
        with self._lock:
            self._orders.clear()
        self._records.clear()

    def respond(self, request: Received) -> Reply:
        """The answer that is due to a whole request."""
        raise NotImplementedError

    def refusal(self, request: Received) -> Fault | None:
        """What happens to a request on the strength of its head alone; None: it is read."""
        return None

    def converse(self, behaviour: Behaviour, request: Received) -> None:
        """Deal with one request: what was ordered, else a refusal, else the answer that is due."""
        behaviour.act(self._ordered(request) or self.refusal(request), self.respond)

    def _ordered(self, request: Received) -> Fault | None:
        with self._lock:
            order = next((each for each in self._orders if each.fits(request)), None)
            if order is None:
                return None
            if order.times is not None:
                order.times -= 1
            return order.fault

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # the block has ended
                return
            self._start(self._talk, connection)

    def _start(self, run: Callable[..., None], *args: socket.socket) -> None:
        thread = threading.Thread(target=run, args=args, name=f"fake-{self.port}", daemon=True)
        with self._lock:
            self._threads.append(thread)
            self._sockets.update(args)
        thread.start()

    def _talk(self, connection: socket.socket) -> None:
        with suppress(Cut, OSError):  # the client has gone, or the fake ends
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                with self._lock:
                    self._sockets.add(connection)
            conversation = Conversation(connection)
            while (request := conversation.next_request()) is not None:
                self._records.add(request)
                self.converse(
                    Behaviour(conversation, request, self._records, self._closing), request
                )
                if not conversation.reusable:
                    break
        with self._lock:
            self._sockets.discard(connection)
        connection.close()


def _shut_down(connection: socket.socket) -> None:
    with suppress(OSError):  # it has been closed
        # of the plain socket, TLS or not: a farewell could wait for the other side
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


@contextmanager
def refusing() -> Iterator[str]:
    """The URL of a port of 127.0.0.1 at which connections are refused, within the block."""
    with socket.socket() as bound:
        bound.bind((HOST, 0))  # and never listens
        yield f"http://{HOST}:{bound.getsockname()[1]}"
