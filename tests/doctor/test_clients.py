"""The clients where a server breaks off, and the processes where one does not end."""

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aioquic.h3.events import DatagramReceived
from h2.config import H2Configuration
from h2.connection import H2Connection as Protocol

from asgi_bridge.doctor import processes
from asgi_bridge.doctor.certificate import make_certificate
from asgi_bridge.doctor.checks.failing import breaks, wrong_length
from asgi_bridge.doctor.clients.base import Broken, Connection
from asgi_bridge.doctor.clients.h2 import H2Connection
from asgi_bridge.doctor.clients.h3 import H3Connection, Quic
from asgi_bridge.doctor.clients.streams import Incoming
from asgi_bridge.doctor.outcomes import Outcome
from asgi_bridge.doctor.processes import Processes
from asgi_bridge.doctor.row import Row

HEAD = (200, {":status": "200"})


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


pytestmark = pytest.mark.anyio


async def test_stream_in_disorder() -> None:
    incoming = Incoming()
    incoming.put(b"body")
    incoming.put(HEAD)
    with pytest.raises(Broken, match="a body without a head"):
        await incoming.head()
    with pytest.raises(Broken, match="a second head"):
        await incoming.read()
    with pytest.raises(NotImplementedError):
        await incoming.continued()


async def test_stream_breaks_once() -> None:
    incoming = Incoming()
    incoming.check()
    incoming.break_with(Broken("first"))
    incoming.break_with(Broken("second"))
    for _ in range(2):
        with pytest.raises(Broken, match="first"):
            await incoming.read()
    with pytest.raises(Broken, match="first"):
        incoming.check()


@asynccontextmanager
async def saying_goodbye() -> AsyncIterator[int]:
    """A server of HTTP/2 that answers everything with a GOAWAY; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        http = Protocol(H2Configuration(client_side=False))
        http.initiate_connection()
        http.receive_data(await reader.read(65536))
        http.close_connection()
        writer.write(http.data_to_send())
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_h2_goaway() -> None:
    async with asyncio.timeout(10), saying_goodbye() as port:
        connection = await H2Connection.open(port)
        while connection.broken is None:
            await connection.moved.wait()
        with pytest.raises(Broken, match="GOAWAY"):
            await connection.request("GET", "/")
        await connection.close()


async def test_h2_write_that_fails() -> None:
    async with asyncio.timeout(10), saying_goodbye() as port:
        streams = await asyncio.open_connection("127.0.0.1", port)
        connection = H2Connection(*streams)
        connection.http.initiate_connection()
        streams[0].set_exception(ConnectionResetError("gone"))
        with pytest.raises(Broken, match="writing: gone"):
            await connection.flush()
        await connection.close()


async def test_h2_where_the_server_chooses_another_protocol(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate.chain, certificate.key)
    async with asyncio.timeout(10):
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=tls)
        with pytest.raises(Broken, match="has not chosen HTTP/2"):
            await H2Connection.open(server.sockets[0].getsockname()[1], certificate.trusted("h2"))
        server.close()


async def test_h3_without_a_server(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await H3Connection.open(silent.getsockname()[1], certificate.authority)


async def test_h3_events_without_a_rule_pass() -> None:
    quic: Any = object()
    Quic._deliver(quic, DatagramReceived(data=b"", stream_id=0))


async def test_h3_request_on_a_connection_that_is_gone() -> None:
    quic: Any = SimpleNamespace(broken=Broken("gone"), new_stream=lambda: 0, streams={})
    with pytest.raises(Broken, match="gone"):
        await H3Connection(quic, AsyncExitStack()).request("GET", "/")


class Scripted(Incoming):
    """A stream whose response is known before it is asked for."""

    def __init__(self, *items: Any) -> None:
        super().__init__()
        for item in items:
            self.put(item)

    async def send(self, chunk: bytes) -> None:
        self.check()

    async def end(self) -> None:
        self.check()

    async def leave(self) -> None:
        raise AssertionError("nobody leaves here")


class Asking:
    """One multiplexed connection, which gives the streams of a script."""

    multiplexed = True

    def __init__(self, *streams: Scripted) -> None:
        self._streams = list(streams)

    async def connect(self) -> Connection:
        return self

    def new_key(self) -> str:
        raise AssertionError("nobody notes here")

    async def request(self, method: str, path: str, **options: Any) -> Scripted:
        return self._streams.pop(0)

    async def close(self) -> None:
        raise AssertionError("who asks does not close")


async def test_failure_that_takes_another_stream_along() -> None:
    sibling = Scripted(HEAD, b"one", Broken("closed"))
    failing = Scripted(HEAD, b"first", Broken("closed"))
    finding = await breaks("breaking")(Asking(sibling, failing))
    assert (finding.outcome, finding.detail) == (Outcome.BROKEN, "the other stream: closed")


async def test_failure_that_leaves_the_other_stream_alone() -> None:
    sibling = Scripted(HEAD, b"one", b"two", b"")
    failing = Scripted(HEAD, b"first", Broken("closed"))
    finding = await breaks("breaking")(Asking(sibling, failing))
    assert finding.outcome is Outcome.OK


async def test_body_that_is_not_as_declared_and_ends() -> None:
    short = Scripted((200, {"content-length": "10"}), b"01234", b"")
    finding = await wrong_length("short")(Asking(short))
    assert finding.outcome is Outcome.FALSE_END


STUBBORN = Row(name="stubborn", server="none", command=("tests.doctor.stubborn",))


async def test_server_that_does_not_end_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "ENDING", 0.1)
    running = Processes(tmp_path, None)
    async with asyncio.timeout(10):
        async with running.serving(STUBBORN, "bare"):
            (group,) = running._groups
    assert running._groups == set()
    with pytest.raises(ProcessLookupError):
        os.killpg(group, 0)


async def test_last_resort(tmp_path: Path) -> None:
    running = Processes(tmp_path, None)
    async with asyncio.timeout(10):
        async with running.serving(STUBBORN, "bare"):
            running.kill()


async def test_h2_server_that_resets_the_connection() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        linger = struct.pack("ii", 1, 0)  # so that closing resets
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    async with asyncio.timeout(10):
        server = await asyncio.start_server(reset, "127.0.0.1", 0)
        connection = await H2Connection.open(server.sockets[0].getsockname()[1])
        assert connection._pump is not None
        await asyncio.wait([connection._pump])
        await connection.close()
        server.close()
    assert "the connection broke" in str(connection.broken)
