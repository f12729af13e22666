"""A digest in a trailer, through a real server: Hypercorn sends trailers over HTTP/2 and HTTP/3."""

import base64
import hashlib
import socket
from pathlib import Path

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded, TrailersReceived

from .processes import LIMIT, serving

PIECE = b"0123456789abcdef" * 1024


def conversation(port: int, *more: tuple[str, str]) -> tuple[dict[str, str], bytes, dict[str, str]]:
    """Send a piece, see it come back, send another: header, body and trailers of the response."""
    head: dict[str, str] = {}
    trailers: dict[str, str] = {}
    content = b""
    http = H2Connection(H2Configuration(client_side=True, header_encoding="ascii"))
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as connection:
        http.initiate_connection()
        names = {":method": "PUT", ":scheme": "http", ":path": "/digested", ":authority": "test"}
        http.send_headers(1, [*names.items(), *more])
        http.send_data(1, PIECE)
        ended = half = False
        while not ended:
            connection.sendall(http.data_to_send())
            received = connection.recv(65536)
            assert received, "the connection was closed"
            for event in http.receive_data(received):
                match event:
                    case ResponseReceived():
                        head = {str(name): str(value) for name, value in event.headers}
                    case DataReceived():
                        content += event.data
                        http.acknowledge_received_data(event.flow_controlled_length, 1)
                    case TrailersReceived():
                        trailers = {str(name): str(value) for name, value in event.headers}
                    case StreamEnded():
                        ended = True
            if len(content) == len(PIECE) and not half:
                half = True
                http.send_data(1, PIECE, end_stream=True)
    return head, content, trailers


@pytest.mark.parametrize("server", ["hypercorn-asyncio", "hypercorn-trio"])
def test_digest_follows_a_stream(server: str, tmp_path: Path) -> None:
    digest = hashlib.sha256(PIECE.upper() * 2).digest()
    field = f"sha-256=:{base64.b64encode(digest).decode()}:"
    with serving(server, "tests.servers.apps:app", tmp_path) as running:
        head, content, trailers = conversation(running.port, ("te", "trailers"))
        assert (head[":status"], head["trailer"]) == ("200", "content-digest")
        assert content == PIECE.upper() * 2
        assert trailers == {"content-digest": field}
        head, content, trailers = conversation(running.port)
        assert (head[":status"], trailers) == ("200", {})
        assert content == PIECE.upper() * 2
