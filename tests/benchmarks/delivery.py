"""A direct put: one upload that its server delivers to a target, which throws it away."""

import contextlib
import http.server
import socket
import threading
from collections.abc import Iterator
from typing import Final

from .load import PERIODS, SEND_BYTES, Address, connect
from .paired import Failed

STOP_SECONDS: Final = 5.0


class Target(http.server.BaseHTTPRequestHandler):
    """Takes chunked PUTs, and counts their bytes."""

    protocol_version = "HTTP/1.1"
    taken = 0

    def do_PUT(self) -> None:
        while size := int(self.rfile.readline(), 16):
            type(self).taken += size
            while size:
                size -= len(self.rfile.read(min(size, SEND_BYTES)))
            self.rfile.readline()
        self.rfile.readline()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing; the progress is on stderr, too."""


@contextlib.contextmanager
def target() -> Iterator[tuple[str, type[Target]]]:
    """A target on loopback: its URL for one object, and what has counted."""

    class Counting(Target):
        pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Counting) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/object?uuid=bench", Counting
        finally:
            server.shutdown()
            thread.join(STOP_SECONDS)


def deliver(address: Address, *, body_bytes: int) -> None:
    """PUT an object that the server delivers to a target.

    Raises:
        Failed: it was not delivered whole.
    """
    with target() as (url, counting), connect(address) as sock:
        sock.sendall(
            b"PUT /b/o HTTP/1.1\r\nhost: bench\r\nais-node-url: %s\r\ncontent-length: %d\r\n\r\n"
            % (url.encode(), body_bytes)
        )
        for begin in range(0, body_bytes, SEND_BYTES):
            sock.sendall(PERIODS[: min(SEND_BYTES, body_bytes - begin)])
        answer = sock.recv(SEND_BYTES, socket.MSG_PEEK)
        if not answer.startswith(b"HTTP/1.1 204 ") or counting.taken != body_bytes:
            raise Failed(f"{answer[:20]!r}, {counting.taken} bytes delivered")
