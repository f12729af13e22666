"""HTTP/3 over the `aioquic` package."""

import asyncio
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, ErrorCode
from aioquic.h3.connection import H3Connection as Http
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, QuicEvent, StreamReset

from .base import Broken, Headers, has_body
from .streams import Incoming

# Seconds that a server has to confirm the end of a connection; one that is gone never does.
CLOSING = 0.5


class Quic(QuicConnectionProtocol):
    """What aioquic calls; hands what comes to the streams."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.http = Http(self._quic)
        self.broken: Broken | None = None
        self.settled = asyncio.Event()  # the handshake is over, or the connection
        self.streams: dict[int, H3Exchange] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport = transport

    def new_stream(self) -> int:
        return self._quic.get_next_available_stream_id()

    def reset(self, stream_id: int) -> None:
        self._quic.reset_stream(stream_id, ErrorCode.H3_REQUEST_CANCELLED)
        self._quic.stop_stream(stream_id, ErrorCode.H3_REQUEST_CANCELLED)
        self.transmit()

    def quic_event_received(self, event: QuicEvent) -> None:
        match event:
            case HandshakeCompleted():
                self.settled.set()
            case ConnectionTerminated():
                self.broken = Broken(f"the connection ended: {event.reason_phrase}")
                self.settled.set()
                for exchange in self.streams.values():
                    exchange.break_with(self.broken)
            case StreamReset() if event.stream_id in self.streams:
                broken = Broken(f"RESET_STREAM {event.error_code}")
                self.streams[event.stream_id].break_with(broken)
        for each in self.http.handle_event(event):
            self._deliver(each)

    def _deliver(self, event: H3Event) -> None:
        if not isinstance(event, HeadersReceived | DataReceived):
            return
        exchange = self.streams[event.stream_id]
        if isinstance(event, HeadersReceived):
            fields = {name.decode(): value.decode("latin-1") for name, value in event.headers}
            exchange.put((int(fields[":status"]), fields))
        elif event.data:
            exchange.put(event.data)
        if event.stream_ended:
            exchange.put(b"")


class H3Connection:
    """One connection with any number of streams."""

    multiplexed = True

    def __init__(self, quic: Quic, stack: AsyncExitStack) -> None:
        self.quic = quic
        self._stack = stack

    @classmethod
    async def open(cls, port: int, authority: Path) -> "H3Connection":
        """Connect to a server whose certificate is signed by an authority, a PEM file."""
        configuration = QuicConfiguration(
            alpn_protocols=H3_ALPN, server_name="localhost", cafile=str(authority)
        )
        stack = AsyncExitStack()
        context = connect(
            "127.0.0.1",
            port,
            configuration=configuration,
            create_protocol=Quic,
            wait_connected=False,  # that waits for a future which nobody has if we are cancelled
        )
        quic = await stack.enter_async_context(context)
        assert isinstance(quic, Quic), "made by create_protocol"
        connection = cls(quic, stack)
        quic.transmit()
        try:
            await quic.settled.wait()
        finally:
            if not quic.settled.is_set():  # we have been cancelled
                await connection.close()
        return connection

    async def request(
        self, method: str, path: str, *, length: int | None = None, headers: Headers = ()
    ) -> "H3Exchange":
        fields = [(":method", method), (":scheme", "https"), (":authority", "localhost")]
        fields += [(":path", path), *headers]
        if length is not None:
            fields.append(("content-length", str(length)))
        quic = self.quic
        stream_id = quic.new_stream()
        exchange = quic.streams[stream_id] = H3Exchange(quic, stream_id)
        if quic.broken is not None:
            exchange.break_with(quic.broken)
        exchange.check()
        encoded = [(name.encode(), value.encode()) for name, value in fields]
        quic.http.send_headers(stream_id, encoded, end_stream=not has_body(method))
        quic.transmit()
        return exchange

    async def close(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSING):
                await self._stack.aclose()
        self.quic.transport.close()  # aioquic does not, if it had to be cancelled


class H3Exchange(Incoming):
    """One stream."""

    def __init__(self, quic: Quic, stream_id: int) -> None:
        super().__init__()
        self._quic = quic
        self._stream_id = stream_id

    async def send(self, chunk: bytes) -> None:
        await self._send(chunk, end=False)

    async def end(self) -> None:
        await self._send(b"", end=True)

    async def _send(self, chunk: bytes, end: bool) -> None:
        self.check()
        self._quic.http.send_data(self._stream_id, chunk, end_stream=end)
        self._quic.transmit()
        await asyncio.sleep(0)  # nothing here waits for the network; let it have its turn

    async def leave(self) -> None:
        self._quic.reset(self._stream_id)
