"""HTTP/2 over the `h2` package, by prior knowledge or TLS."""

import asyncio
import ssl
from contextlib import suppress

from h2.config import H2Configuration
from h2.connection import H2Connection as Protocol
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.exceptions import ProtocolError

from .base import BLOCK, Broken, Headers, connected, has_body
from .streams import Incoming


class H2Connection:
    """One connection with any number of streams."""

    multiplexed = True

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.http = Protocol(H2Configuration(client_side=True, header_encoding="latin-1"))
        self.broken: Broken | None = None
        self.moved = asyncio.Event()  # set, and replaced, when windows may have grown
        self._reader = reader
        self._writer = writer
        self._streams: dict[int, H2Exchange] = {}
        self._pump: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, port: int, tls: ssl.SSLContext | None = None) -> "H2Connection":
        reader, writer = await connected(port, tls)
        if tls and writer.get_extra_info("ssl_object").selected_alpn_protocol() != "h2":
            writer.transport.abort()
            raise Broken("the server has not chosen HTTP/2")
        connection = cls(reader, writer)
        connection.http.initiate_connection()
        await connection.flush()
        connection._pump = asyncio.create_task(connection._run())
        return connection

    async def request(
        self, method: str, path: str, *, length: int | None = None, headers: Headers = ()
    ) -> "H2Exchange":
        scheme = "https" if self._writer.get_extra_info("ssl_object") else "http"
        fields = [(":method", method), (":scheme", scheme), (":path", path)]
        fields += [(":authority", "localhost"), *headers]
        if length is not None:
            fields.append(("content-length", str(length)))
        self.check()
        stream_id = self.http.get_next_available_stream_id()
        exchange = self._streams[stream_id] = H2Exchange(self, stream_id)
        self.http.send_headers(stream_id, fields, end_stream=not has_body(method))
        await self.flush()
        return exchange

    def check(self) -> None:
        if self.broken is not None:
            raise Broken(str(self.broken))

    async def flush(self) -> None:
        try:
            self._writer.write(self.http.data_to_send())
            await self._writer.drain()
        except OSError as error:
            raise Broken(f"writing: {error}") from error

    async def _run(self) -> None:
        why = "the connection was closed"
        try:
            while data := await self._reader.read(BLOCK):
                for event in self.http.receive_data(data):
                    self._deliver(event)
                await self.flush()
        except (OSError, Broken, ProtocolError) as error:
            why = f"the connection broke: {error!r}"
        self.broken = Broken(why)
        for exchange in self._streams.values():
            exchange.break_with(self.broken)
        self.moved.set()

    def _deliver(self, event: Event) -> None:
        moved, self.moved = self.moved, asyncio.Event()
        moved.set()
        if isinstance(event, ConnectionTerminated):
            self.broken = Broken(f"GOAWAY {event.error_code}")
            return
        exchange = self._streams.get(getattr(event, "stream_id", None) or 0)
        if exchange is None:
            return
        match event:
            case ResponseReceived():
                fields = {str(name): str(value) for name, value in event.headers}
                exchange.put((int(fields[":status"]), fields))
            case DataReceived():
                if event.data:
                    exchange.put(event.data)
                self.http.acknowledge_received_data(
                    event.flow_controlled_length, exchange.stream_id
                )
            case StreamEnded():
                exchange.put(b"")
            case StreamReset():
                exchange.break_with(Broken(f"RST_STREAM {event.error_code}"))

    async def close(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait([self._pump])
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()


class H2Exchange(Incoming):
    """One stream."""

    def __init__(self, connection: H2Connection, stream_id: int) -> None:
        super().__init__()
        self.stream_id = stream_id
        self._connection = connection

    async def send(self, chunk: bytes) -> None:
        connection, http = self._connection, self._connection.http
        rest = memoryview(chunk)
        while rest:
            connection.check()
            self.check()
            window = min(http.local_flow_control_window(self.stream_id), len(rest))
            if window == 0:
                await connection.moved.wait()
                continue
            size = min(window, http.max_outbound_frame_size)
            http.send_data(self.stream_id, bytes(rest[:size]))
            rest = rest[size:]
            await connection.flush()

    async def end(self) -> None:
        self._connection.check()
        self.check()
        self._connection.http.end_stream(self.stream_id)
        await self._connection.flush()

    async def leave(self) -> None:
        self._connection.http.reset_stream(self.stream_id, ErrorCodes.CANCEL)
        await self._connection.flush()
