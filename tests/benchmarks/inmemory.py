"""The rows without a socket: `receive` has its message ready, `send` takes it and returns."""

import asyncio
import contextlib
import functools
import gc
import time
from collections.abc import AsyncIterator
from typing import Final

from asgi_bridge.types import ASGIApp, Message, Scope

from .apps import APPS
from .paired import Failed, Outcome, Unusable, alternate, progress
from .report import Row, Target
from .settings import Settings

KIB: Final = 1024
MIB: Final = 1024 * KIB

# chunk size: (bytes in a run, target). Larger chunks get more bytes, or a run is over too soon.
CHUNKS: Final = {
    1 * KIB: (32 * MIB, Target(30)),
    16 * KIB: (128 * MIB, Target(20)),
    64 * KIB: (256 * MIB, Target(25)),
}
WHOLE_REQUESTS: Final = 2000
STALL_SECONDS: Final = 60.0


class Exchange:
    """One request of `chunks` equal chunks, and the count of what came back."""

    def __init__(self, chunk: bytes, chunks: int) -> None:
        self.received_bytes = 0
        self._chunks_left = chunks
        self._more: Message = {"type": "http.request", "body": chunk, "more_body": True}
        self._last: Message = {"type": "http.request", "body": chunk, "more_body": False}
        self._complete = asyncio.Event()

    async def receive(self) -> Message:
        if self._chunks_left:
            self._chunks_left -= 1
            return self._more if self._chunks_left else self._last
        await self._complete.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.body":
            self.received_bytes += len(message.get("body", b""))
            if not message.get("more_body", False):
                self._complete.set()


def scope_of(body_bytes: int) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "PUT",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"bench"), (b"content-length", str(body_bytes).encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "state": {},
    }


async def exchange_seconds(app: ASGIApp, *, chunk_bytes: int, chunks: int, requests: int) -> float:
    """Seconds for so many requests, one after the other.

    Raises:
        Failed: what came back is not as long as what was sent, or nothing moves any more.
    """
    chunk = b"x" * chunk_bytes
    body_bytes = chunk_bytes * chunks
    try:
        async with asyncio.timeout(STALL_SECONDS):
            started = time.perf_counter()
            for _ in range(requests):
                exchange = Exchange(chunk, chunks)
                await app(scope_of(body_bytes), exchange.receive, exchange.send)
                if exchange.received_bytes != body_bytes:
                    raise Failed(f"{exchange.received_bytes} of {body_bytes} bytes")
            return time.perf_counter() - started
    except TimeoutError:
        raise Failed(f"stalled for {STALL_SECONDS:.0f} s") from None


@contextlib.asynccontextmanager
async def lifespan(app: ASGIApp) -> AsyncIterator[None]:
    """Start and stop an application as a server does; one without a lifespan just runs."""
    started, stopping = asyncio.Event(), asyncio.Event()
    to_app = iter(("lifespan.startup", "lifespan.shutdown"))

    async def receive() -> Message:
        kind = next(to_app)
        if kind == "lifespan.shutdown":
            await stopping.wait()
        return {"type": kind}

    async def send(message: Message) -> None:
        started.set()

    async def run() -> None:
        try:
            await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
        finally:
            started.set()

    task = asyncio.create_task(run())
    await started.wait()
    try:
        yield
    finally:
        stopping.set()
        with contextlib.suppress(Exception):  # an application may refuse a lifespan by raising
            await task


def compare(
    names: tuple[str, ...], runs: int, *, chunk_bytes: int, chunks: int, requests: int
) -> dict[str, Outcome]:
    """Microseconds per chunk (per request, if it is one chunk) of each application."""

    async def seconds(name: str) -> float:
        app = APPS[name].make()
        async with lifespan(app):
            await exchange_seconds(app, chunk_bytes=chunk_bytes, chunks=1, requests=1)  # warms up
            return await exchange_seconds(
                app, chunk_bytes=chunk_bytes, chunks=chunks, requests=requests
            )

    def measure(name: str) -> float:
        if missing := APPS[name].missing():
            raise Unusable(f"{missing} not installed")
        gc.collect()
        return asyncio.run(seconds(name)) * 1e6 / (chunks * requests)

    return alternate({name: functools.partial(measure, name) for name in names}, runs=runs)


def chunks_rows(settings: Settings) -> list[Row]:
    """`read(65536)` and yield, per chunk of 1, 16 and 64 KiB."""
    rows = []
    for chunk_bytes, (total_bytes, target) in CHUNKS.items():
        label = f"in memory, chunks of {chunk_bytes // KIB} KiB"
        progress(label)
        outcomes = compare(
            ("blocks_bridge", "blocks_aistore"),
            settings.runs,
            chunk_bytes=chunk_bytes,
            chunks=settings.scaled(total_bytes // chunk_bytes),
            requests=1,
        )
        rows.append(_row(f"{label}, per chunk", outcomes, target))
    return rows


def whole_rows(settings: Settings) -> list[Row]:
    """A whole request of 1 KiB."""
    label = "in memory, whole 1 KiB request"
    progress(label)
    outcomes = compare(
        ("blocks_bridge", "blocks_aistore"),
        settings.runs,
        chunk_bytes=KIB,
        chunks=1,
        requests=settings.scaled(WHOLE_REQUESTS),
    )
    return [_row(label, outcomes, Target(8))]


def _row(name: str, outcomes: dict[str, Outcome], target: Target) -> Row:
    return Row(
        name=name,
        unit="us",
        ours=outcomes["blocks_bridge"],
        peer_name="AIStore's classes",
        peer=outcomes["blocks_aistore"],
        target=target,
        less_is_better=True,
    )
