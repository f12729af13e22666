"""The load: one thread, plain sockets, requests formatted beforehand, responses hardly looked at.

It has to cost much less than the server that it drives, so what comes back is decoded and
compared once, by `verify`; in the timed runs only its status, its length and its end are checked.
"""

import contextlib
import http.client
import re
import selectors
import socket
import time
from collections.abc import Iterator
from typing import Any, Final

from .paired import Failed

Address = tuple[str, int]

STALL_SECONDS: Final = 30.0
SMALL_BYTES: Final = 1024
SEND_BYTES: Final = 1024 * 1024
RECEIVE_BYTES: Final = 1024 * 1024

# Letters only: no upper-cased body can contain the end of a chunked response.
PATTERN: Final = bytes(range(ord("a"), ord("z") + 1))
PERIODS: Final = memoryview(PATTERN * (SEND_BYTES // len(PATTERN) + 2))
CHUNKED_END: Final = b"\r\n0\r\n\r\n"
HEAD_END: Final = b"\r\n\r\n"
CONTENT_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
STATUS_OK: Final = b"HTTP/1.1 200 "


def body_of(size_bytes: int) -> bytes:
    """The body that an upload of this size sends."""
    return (PATTERN * (size_bytes // len(PATTERN) + 1))[:size_bytes]


def put_head(body_bytes: int) -> bytes:
    return b"PUT / HTTP/1.1\r\nhost: bench\r\ncontent-length: %d\r\n\r\n" % body_bytes


GET: Final = b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n"


def verify(address: Address, method: str, body: bytes | None, expected: bytes | None) -> None:
    """One exchange, decoded by the standard library and compared; also waits for the server.

    Raises:
        Failed: the server did not come up, or answered something else.
    """
    connection = http.client.HTTPConnection(*address, timeout=STALL_SECONDS)
    try:
        connection.request(method, "/", body)
        response = connection.getresponse()
        answer = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise Failed(repr(error)) from error
    finally:
        connection.close()
    if response.status != 200 or (expected is not None and answer != expected):
        raise Failed(f"status {response.status}, {len(answer)} bytes, not as expected")


def has_ended(first: bytes, total_bytes: int, last: bytes) -> bool:
    """Whether a response is whole, from its first bytes, its length and its last bytes."""
    if last.endswith(CHUNKED_END):
        return True
    head_bytes = first.find(HEAD_END) + len(HEAD_END)
    if head_bytes < len(HEAD_END):
        return False
    declared = CONTENT_LENGTH.search(first, 0, head_bytes)
    return declared is not None and total_bytes >= head_bytes + int(declared[1])


# Uploads that are read while they are written.


class Upload:
    """One PUT on its own connection, in full duplex."""

    def __init__(self, address: Address, body_bytes: int) -> None:
        self.sock = connect(address)
        self.sock.sendall(put_head(body_bytes))
        self.sock.setblocking(False)
        self._body_bytes = body_bytes
        self._sent_bytes = 0
        self._received_bytes = 0
        self._first = b""
        self._last = b""

    def send_some(self) -> bool:
        """Send what the socket takes; True once the whole body is out."""
        start = self._sent_bytes % len(PATTERN)
        count = min(SEND_BYTES, self._body_bytes - self._sent_bytes)
        self._sent_bytes += self.sock.send(PERIODS[start : start + count])
        return self._sent_bytes == self._body_bytes

    def receive_some(self, scratch: memoryview) -> bool:
        """Take what the socket has; True once the response is whole.

        Raises:
            Failed: the response is not what a working server sends.
        """
        count = self.sock.recv_into(scratch)
        if not count:
            raise Failed(f"closed after {self._received_bytes} response bytes")
        if len(self._first) < 1024:
            self._first += bytes(scratch[: min(count, 1024)])
        self._received_bytes += count
        self._last = (self._last + bytes(scratch[max(0, count - 8) : count]))[-8:]
        if not has_ended(self._first, self._received_bytes, self._last):
            return False
        if not self._first.startswith(STATUS_OK) or self._received_bytes < self._body_bytes:
            raise Failed(f"{self._first[:20]!r}, {self._received_bytes} bytes in all")
        return True


def upload_rate(address: Address, *, connections: int, body_bytes: int) -> float:
    """Megabytes (10**6 bytes) per second, up and down at once, over all connections together."""
    scratch = memoryview(bytearray(RECEIVE_BYTES))
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        started = time.perf_counter()
        for _ in range(connections):
            upload = Upload(address, body_bytes)
            stack.callback(upload.sock.close)
            selector.register(upload.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, upload)
        while selector.get_map():
            for upload, events in ready(selector):
                if events & selectors.EVENT_WRITE and upload.send_some():
                    selector.modify(upload.sock, selectors.EVENT_READ, upload)
                if events & selectors.EVENT_READ and upload.receive_some(scratch):
                    selector.unregister(upload.sock)
        return connections * body_bytes / (time.perf_counter() - started) / 1e6


# Small requests on connections that stay open.


class Client:
    """One keep-alive connection with at most one request on its way."""

    def __init__(self, address: Address, request: bytes) -> None:
        self.sock = connect(address)
        self._request = request
        self._response = b""

    def ask(self) -> None:
        self._response = b""
        self.sock.sendall(self._request)

    def receive_some(self) -> bool:
        """Take what the socket has; True once the response is whole.

        Raises:
            Failed: the response is not what a working server sends.
        """
        received = self.sock.recv(RECEIVE_BYTES)
        self._response = response = self._response + received if self._response else received
        if not received or not response.startswith(STATUS_OK):
            raise Failed(f"{response[:20]!r} after {len(response)} bytes")
        return has_ended(response, len(response), response)


def request_rate(address: Address, request: bytes, *, connections: int, seconds: float) -> float:
    """Requests per second; every request that was begun is waited for."""
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(connections):
            client = Client(address, request)
            stack.callback(client.sock.close)
            selector.register(client.sock, selectors.EVENT_READ, client)
        answered = 0
        started = time.perf_counter()
        deadline = started + seconds
        for key in list(selector.get_map().values()):
            key.data.ask()
        while selector.get_map():
            for client, _ in ready(selector):
                if client.receive_some():
                    answered += 1
                    if time.perf_counter() < deadline:
                        client.ask()
                    else:
                        selector.unregister(client.sock)
        return answered / (time.perf_counter() - started)


def connect(address: Address) -> socket.socket:
    sock = socket.create_connection(address, timeout=STALL_SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def ready(selector: selectors.BaseSelector) -> Iterator[tuple[Any, int]]:
    """What each ready connection's key carries, and its events.

    Raises:
        Failed: nothing has moved for `STALL_SECONDS`.
    """
    events = selector.select(STALL_SECONDS)
    if not events:
        raise Failed(f"stalled for {STALL_SECONDS:.0f} s")
    for key, mask in events:
        yield key.data, mask
