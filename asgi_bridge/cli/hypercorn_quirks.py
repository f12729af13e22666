# What Hypercorn 0.18 does to connections, and what is done about it.
#
# Quirk 1: a connection runs in a task group, together with the task that closes it once it has been
#          idle for the keep-alive timeout. When its client closes it, reading ends, and the task
#          group waits for that task: the descriptor stays open, in CLOSE_WAIT, until the timeout is
#          over. A client that opens connections of one request each soon holds all descriptors.
#          Upstream: `await self.idle_task.stop()` at the end of `TCPServer._read_data`, in
#          `hypercorn/asyncio/tcp_server.py` and in `hypercorn/trio/tcp_server.py`.
# Quirk 2: an open WebSocket hears nothing of a shutdown, and is cut when the graceful timeout is
#          over. Upstream: put `websocket.disconnect` and send a close frame with code 1012 in
#          `WSStream` once `context.terminated` is set.
# Quirk 3: asyncio's accept loop does not stop when there are no more descriptors: it tries as often
#          as the backlog is long, and logs a traceback each time. (CPython mends that in 3.13.)
"""Hypercorn's quirks on its connections, cured without a change to Hypercorn's files."""

import logging
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio

from ..types import ASGIApp, Message, Receive, Scope, Send

# RFC 6455's registry: "service restart".
RESTART: Final = 1012
NO_DESCRIPTORS: Final = "out of system resource"


def let_connections_end(server: type[Any]) -> None:
    """Have Hypercorn's connections end with their clients (quirk 1).

    Args:
        server: Hypercorn's TCPServer, of either event loop. One that has changed, so that it lacks
            what is used here, is left alone; so is one that has been treated.
    """
    read: Callable[[Any], Awaitable[None]] | None = getattr(server, "_read_data", None)
    if read is None or hasattr(read, "ends_idling"):
        return

    async def read_data(self: Any) -> None:
        await read(self)
        idle_task = getattr(self, "idle_task", None)
        if idle_task is not None:
            await idle_task.stop()

    read_data.ends_idling = True  # type: ignore[attr-defined] # a mark on the function
    server._read_data = read_data


class ToldOfShutdown:
    """An app whose WebSockets are told of a shutdown at once (quirk 2).

    One that waits for its client's next message is closed. One that is busy is closed when it next
    waits.

    Args:
        app: all the others.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._waiting: set[anyio.CancelScope] = set()
        self._told = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        over = False

        async def receive_or_end() -> Message:
            nonlocal over
            if not self._told:
                with anyio.CancelScope() as waiting:
                    self._waiting.add(waiting)
                    try:
                        return await receive()
                    finally:
                        self._waiting.discard(waiting)
                if not self._told:
                    raise AssertionError("nobody else cancels it")
            if not over:
                over = True
                await send({"type": "websocket.close", "code": RESTART})
            return {"type": "websocket.disconnect", "code": RESTART}

        async def send_unless_over(message: Message) -> None:
            if not over:
                await send(message)

        await self._app(scope, receive_or_end, send_unless_over)

    def tell(self) -> None:
        """The server shuts down; on the event loop's thread."""
        self._told = True
        for waiting in list(self._waiting):
            waiting.cancel()


class OnceASecond(logging.Filter):
    """Lets one record a second pass of those that a process without descriptors logs (quirk 3)."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0  # guarded by the lock
        self._left_out = 0
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log it; then without its traceback, and with how many were not."""
        if NO_DESCRIPTORS not in record.getMessage():
            return True
        with self._lock:
            now = time.monotonic()
            if now < self._next:
                self._left_out += 1
                return False
            self._next = now + 1
            left_out, self._left_out = self._left_out, 0
        record.msg = (
            "no more connections are accepted: the process has no descriptors left "
            f"({left_out} lines like this were left out); see ulimit -n"
        )
        record.args = ()
        record.exc_info = None
        return True
