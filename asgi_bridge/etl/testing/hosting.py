"""An ETL application on Hypercorn, in a thread, for the time of a test."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import anyio.to_thread
from hypercorn.asyncio import serve
from hypercorn.config import Config

from ..asgi import ASGIApp
from .caller import Caller
from .loopback import HOST

GRACE: Final = 2.0  # seconds for open requests once the block has ended
JOIN: Final = 15.0


@contextmanager
def serving(app: ASGIApp) -> Iterator[Caller]:
    """Serve an application on a free port of 127.0.0.1 until the block ends.

    It runs in a thread of this process, so that breakpoints and coverage work, and transforms may
    share objects with the test. AIS_TARGET_URL and its like must be set before the ETL server is
    made: that is when they are read.

        with serving(Upper().app) as etl:
            assert etl.push("bucket/object", b"abc").body == b"ABC"

    Args:
        app: any ASGI application; an ETL server's is its `app`.

    Yields:
        what calls it as AIStore does.

    Raises:
        RuntimeError: it did not end within 15 s of the block.
    """
    stop = threading.Event()
    listener = socket.create_server((HOST, 0))
    port = listener.getsockname()[1]
    # Hypercorn takes the descriptor over, and closes it
    arguments = (app, listener.detach(), stop)
    thread = threading.Thread(target=_serve, args=arguments, daemon=True)
    thread.start()
    try:
        yield Caller(f"http://{HOST}:{port}")
    finally:
        stop.set()
        thread.join(JOIN)
    if thread.is_alive():
        raise RuntimeError(f"the server did not end within {JOIN} s")


def _serve(app: ASGIApp, descriptor: int, stop: threading.Event) -> None:
    config = Config()
    config.bind = [f"fd://{descriptor}"]
    config.graceful_timeout = GRACE
    config.accesslog = None

    async def until_stopped() -> None:
        await anyio.to_thread.run_sync(stop.wait)

    asyncio.run(serve(app, config, shutdown_trigger=until_stopped, mode="asgi"))  # type: ignore[arg-type] # Hypercorn's scopes are TypedDicts
