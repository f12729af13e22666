# The request goes out on a thread of its own while the answer is read, as Go's client does it.
"""The side of AIStore that calls ETL pods: hpush and hpull, in the shape that it gives them."""

import json
import socket
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

import h11

from .target import escaped

BLOCK: Final = 64 * 1024
LINE: Final = "/~!$&'()*+,;=:@"  # of a path that AIStore writes unescaped, what Go leaves alone
TIMEOUT: Final = 30.0
SHOWN: Final = 200  # bytes of a body in its repr


@dataclass(frozen=True, slots=True)
class Answer:
    """What a pod answered.

    Attributes:
        status: of the answer; 0 if the connection ended without one.
        headers: in the order they came, names in lower case.
        body: what came of it.
        complete: whether its end came; AIStore stores nothing else.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    complete: bool = False

    def __repr__(self) -> str:
        ending = "complete" if self.complete else "cut"
        beginning = self.body[:SHOWN]
        return f"<Answer {self.status}, {len(self.body)} bytes, {ending}: {beginning!r}>"

    def header(self, name: str) -> str | None:
        """A header's value, None where there is none."""
        return next((value for each, value in self.headers if each == name.lower()), None)


class Caller:
    """Calls one ETL pod as an AIStore target does.

    Args:
        url: of the pod: http://host:port.
        timeout: seconds for any one wait; AIStore's obj_timeout, if shorter than this, ends more.

    Every call opens a connection of its own and closes it.
    """

    def __init__(self, url: str, *, timeout: float = TIMEOUT) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._timeout = timeout

    @property
    def port(self) -> int:
        """Where the pod listens."""
        return self._address[1]

    def push(
        self,
        name: str,
        body: bytes | Iterable[bytes] = b"",
        *,
        fqn: str | Path | None = None,
        args: str | Mapping[str, object] | None = None,
        pipeline: Sequence[str] = (),
    ) -> Answer:
        """Send an object to be transformed: hpush.

        Args:
            name: `bucket/object`.
            body: the object. Chunked if empty or of no known length, as Go's client sends it.
            fqn: of a file for the pod to read instead; then there is no body.
            args: per-request arguments of the transform.
            pipeline: node URLs, the next stage first; the last may be a target's destination.

        Raises:
            TimeoutError: nothing came or went for `timeout` seconds.
        """
        target = "/" + quote(name, safe=LINE) + query(fqn, args)
        headers = framing(body, by_file=fqn is not None)
        return self.request("PUT", target, (*headers, *packed(pipeline)), body)

    def pull(
        self,
        uname: str,
        *,
        fqn: str | Path | None = None,
        args: str | Mapping[str, object] | None = None,
        pipeline: Sequence[str] = (),
        latest: bool = False,
    ) -> Answer:
        """Have an object transformed that the pod fetches itself: hpull.

        Args:
            uname: `ais/@#/bucket/object`.
            fqn: as in `push`.
            args: as in `push`.
            pipeline: as in `push`.
            latest: ask for the newest version of a remote object.

        Raises:
            TimeoutError: nothing came or went for `timeout` seconds.
        """
        target = f"/{escaped(uname)}{query(fqn, args, latest=latest)}"
        return self.request("GET", target, packed(pipeline))

    def request(
        self,
        method: str,
        raw_target: str,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes | Iterable[bytes] = b"",
    ) -> Answer:
        """Send any request, and read its answer while the body still goes out.

        Args:
            method: GET, PUT and so on.
            raw_target: path and query, exactly as they are to be on the wire.
            headers: besides Host and User-Agent; they frame the body.
            body: sent whether it is wanted or not, until the answer is over.

        Raises:
            TimeoutError: nothing came or went for `timeout` seconds.
        """
        with socket.create_connection(self._address, self._timeout) as connection:
            http = h11.Connection(h11.CLIENT)
            host = "{}:{}".format(*self._address)
            head = [("host", host), ("user-agent", "Go-http-client/1.1"), *headers]
            event = h11.Request(method=method, target=raw_target, headers=head)
            upload = _Upload(connection, http.send(event), http, body)
            upload.start()
            try:
                return read_answer(connection, method)
            finally:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                upload.join()


def query(
    fqn: str | Path | None, args: str | Mapping[str, object] | None, *, latest: bool = False
) -> str:
    """The query as AIStore encodes it: the file's name is encoded twice."""
    pairs = []
    if args is not None:
        compact = args if isinstance(args, str) else json.dumps(args, separators=(",", ":"))
        pairs.append(("etl_args", compact))
    if fqn is not None:
        pairs.append(("etl_fqn", escaped(str(fqn))))
    if latest:
        pairs.append(("latest-ver", "true"))
    return f"?{urlencode(pairs)}" if pairs else ""


def framing(body: bytes | Iterable[bytes], *, by_file: bool) -> tuple[tuple[str, str], ...]:
    """How Go's client frames such a body."""
    if by_file:
        return (("content-length", "0"),)
    if isinstance(body, bytes) and body:
        return (("content-length", str(len(body))),)
    return (("transfer-encoding", "chunked"),)


def packed(pipeline: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The header of a pipeline, none for none."""
    return (("ais-node-url", ",".join(pipeline)),) if pipeline else ()


class _Upload(threading.Thread):
    """Sends the head and the body; ends when the connection is shut down."""

    def __init__(
        self,
        connection: socket.socket,
        head: bytes,
        http: h11.Connection,
        body: bytes | Iterable[bytes],
    ) -> None:
        super().__init__(name="upload", daemon=True)
        self._connection = connection
        self._head = head
        self._http = http
        self._body = body

    def run(self) -> None:
        with suppress(OSError):  # the pod has stopped listening; its answer says why
            self._connection.sendall(self._head)
            for chunk in pieces(self._body):
                self._connection.sendall(self._http.send(h11.Data(data=chunk)))
            self._connection.sendall(self._http.send(h11.EndOfMessage()))


def pieces(body: bytes | Iterable[bytes]) -> Iterable[bytes]:
    """A body in parts; one that comes in parts, in those."""
    if isinstance(body, bytes):
        return (body[at : at + BLOCK] for at in range(0, len(body), BLOCK))
    return body


def read_answer(connection: socket.socket, method: str = "PUT") -> Answer:
    """Read one answer from a connection, however it ends.

    Args:
        connection: on which a whole request went out, or goes out on another thread.
        method: of the request; an answer to HEAD has no body.

    Raises:
        TimeoutError: nothing came for as long as the connection's timeout is.
    """
    http = h11.Connection(h11.CLIENT)
    # only to tell it that no answer to a HEAD has a body; nothing of this is sent
    http.send(h11.Request(method=method, target="/", headers=[("host", "fake")]))
    http.send(h11.EndOfMessage())
    status, body = 0, bytearray()
    headers: tuple[tuple[str, str], ...] = ()
    try:
        while not isinstance(event := http.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                http.receive_data(connection.recv(BLOCK))
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.Response):
                status = event.status_code
                headers = tuple((n.decode(), v.decode("latin-1")) for n, v in event.headers)
    except (ConnectionError, h11.RemoteProtocolError):
        return Answer(status, headers, bytes(body))
    return Answer(status, headers, bytes(body), complete=True)
