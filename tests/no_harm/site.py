"""A running server, seen through one of its forms, and a client that does what the test says."""

import itertools
import json
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Any, Final, TypeVar

from tests.servers.processes import POLL, Server

from .forms import Form

SOON: Final = 1.0  # seconds within which a client's leaving has to have its effects
PATIENCE: Final = 5.0  # seconds for all that has no limit of its own
BLOCK: Final = 65536

_numbers: Final = itertools.count()

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: its status, its headers, what came of its body, and whether that was all."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    whole: bool

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        return next((value for each, value in self.headers if each.lower() == name), None)


class Visit:
    """One connection with one request on it."""

    def __init__(self, port: int, method: str, receive_buffer: int | None) -> None:
        self._socket = socket.socket()
        if receive_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(PATIENCE)
        self._socket.connect(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._method = method
        self._seen = b""

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._socket.sendall(data)

    def send_chunk(self, chunk: bytes) -> None:
        """Send one chunk of a chunked body; an empty one is its end."""
        self.send(b"%x\r\n%s\r\n" % (len(chunk), chunk))

    def until(self, what: bytes, limit: float = PATIENCE) -> bytes:
        """Read until this has come.

        Raises:
            AssertionError: it has not, within the limit.
        """
        deadline = time.monotonic() + limit
        while what not in self._seen:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                data = self._socket.recv(BLOCK)
            except TimeoutError:
                data = b""
            assert data, f"no {what!r} in {self._seen[:2000]!r}"
            self._seen += data
        return self._seen

    def is_silent(self, seconds: float) -> bool:
        """Whether nothing more comes in this time."""
        self._socket.settimeout(seconds)
        try:
            data = self._socket.recv(BLOCK)
        except TimeoutError:
            return True
        self._seen += data
        return False

    def answer(self, limit: float = PATIENCE) -> Answer:
        """Read the response from its beginning to its end; nothing may have been read before."""
        assert not self._seen, "a part of the response was read as bytes"
        self._socket.settimeout(limit)
        response = HTTPResponse(self._socket, method=self._method)
        response.begin()
        body, whole = b"", True
        try:
            while data := response.read1(BLOCK):
                body += data
            whole = not response.length
        except (HTTPException, ConnectionError):
            whole = False
        return Answer(response.status, response.getheaders(), body, whole)

    def leave(self) -> None:
        """Close the connection, with all that it has brought read."""
        self._socket.close()


@dataclass(frozen=True, slots=True)
class Site:
    """The applications of one form on one server."""

    server: Server
    form: Form

    @property
    def bridged(self) -> bool:
        """Whether there is a bridge."""
        return self.form is not Form.WITHOUT

    def key(self) -> str:
        """A key that nobody has had."""
        return f"key-{self.form}-{next(_numbers)}"

    @contextmanager
    def visit(
        self,
        path: str,
        method: str = "GET",
        *,
        headers: Sequence[str] = (),
        body: bytes | None = None,
        receive_buffer: int | None = None,
        **query: str | int,
    ) -> Iterator[Visit]:
        """Send a request to one of the applications, as in "kind/route"; leave at the block's end.

        A method with content and no body has its head sent only, which announces a chunked body.
        """
        visit = Visit(self.server.port, method, receive_buffer)
        target = f"/{self.form}-{path}" + ("?" if query else "")
        target += "&".join(f"{name}={value}" for name, value in query.items())
        head = [f"{method} {target} HTTP/1.1", "host: test", "connection: close", *headers]
        if body is not None:
            head.append(f"content-length: {len(body)}")
        elif method not in ("GET", "HEAD") and not any("length" in each for each in headers):
            head.append("transfer-encoding: chunked")
        try:
            visit.send("\r\n".join([*head, "", ""]).encode() + (body or b""))
            yield visit
        finally:
            visit.leave()

    def ask(self, path: str, method: str = "GET", **more: Any) -> Answer:
        """Send a request and read the response."""
        with self.visit(path, method, **more) as visit:
            return visit.answer()

    def notes(self, key: str) -> list[str]:
        """What the application has noted."""
        noted: list[str] = self._told("notes", key)
        return noted

    def until_noted(self, key: str, expected: Sequence[str], limit: float = SOON) -> None:
        """Wait until just this has been noted, and in this order."""
        noted = until(lambda: self.notes(key), lambda noted: noted == list(expected), limit)
        assert noted == list(expected), (
            f"noted {noted}; the log: {self.server.log.read_text()[-1500:]}"
        )

    def open_gate(self, key: str) -> None:
        """Let the application go on."""
        self._told("gate", key)

    def tasks(self) -> int:
        """How many tasks there are in the server."""
        count: int = self._told("tasks", "")
        return count

    def _told(self, name: str, key: str) -> Any:
        visit = Visit(self.server.port, "GET", None)
        try:
            visit.send(f"GET /{name}?key={key} HTTP/1.1\r\nhost: test\r\n\r\n".encode())
            return json.loads(visit.answer().body)
        finally:
            visit.leave()

    def log(self) -> "Log":
        """The server's log from here on."""
        return Log(self.server, len(self.server.log.read_text()))


@dataclass(frozen=True, slots=True)
class Log:
    """What a server prints after some moment."""

    server: Server
    position: int

    @property
    def text(self) -> str:
        """All that has been printed so far."""
        return self.server.log_after(self.position)

    def until(self, what: str, limit: float = SOON) -> str:
        """Wait until a text is in it."""
        text = until(lambda: self.text, lambda text: what in text, limit)
        assert what in text, f"no {what!r} in the log: {text}"
        return text

    @property
    def tracebacks(self) -> int:
        """How many exceptions were printed."""
        return self.text.count("Traceback (most recent call last)")


def until(look: Callable[[], T], is_right: Callable[[T], bool], limit: float = SOON) -> T:
    """Look until what is seen is right, or the limit is over; the last that was seen."""
    deadline = time.monotonic() + limit
    while not is_right(seen := look()) and time.monotonic() < deadline:
        time.sleep(POLL)
    return seen
