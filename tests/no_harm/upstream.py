"""A server that others relay: it says one thing and thinks."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

ANSWER: Final = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\ntoken\n\r\n"


@contextmanager
def thinking() -> Iterator[int]:
    """Run it; the port where it listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket) -> None:
    with suppress(OSError):
        while True:
            threading.Thread(target=_answer, args=listener.accept()[:1], daemon=True).start()


def _answer(connection: socket.socket) -> None:
    with connection, suppress(OSError):
        connection.recv(65536)
        connection.sendall(ANSWER)
        connection.recv(1)  # until whoever asked has closed it
