"""Hypercorn on each of its event loops, told to end by SIGINT or SIGTERM."""

import asyncio
import signal
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from ..types import ASGIApp, Receive, Scope, Send
from .hypercorn_quirks import ToldOfShutdown, let_connections_end

if TYPE_CHECKING:
    from hypercorn.config import Config

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def serve_on_asyncio(app: ASGIApp, config: "Config") -> None:
    with asyncio.Runner() as runner:
        runner.run(serve_until_signal(app, config))


def serve_on_uvloop(app: ASGIApp, config: "Config") -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve_until_signal(app, config))


async def serve_until_signal(app: ASGIApp, config: "Config") -> None:
    from hypercorn.asyncio import serve
    from hypercorn.asyncio.tcp_server import TCPServer

    let_connections_end(TCPServer)
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in SIGNALS:
        loop.add_signal_handler(number, told.set)
    requests = RunningRequests(app)
    sockets = ToldOfShutdown(requests)

    async def until_told() -> None:
        await told.wait()
        sockets.tell()
        # From Python 3.12 on Hypercorn 0.18 waits for its connections without end, before it
        # comes to its own graceful_timeout.
        loop.call_later(config.graceful_timeout, requests.cancel)

    await serve(sockets, config, shutdown_trigger=until_told, mode="asgi")  # type: ignore[arg-type] # Hypercorn's scopes are TypedDicts


class RunningRequests:
    """An app around an app that can cancel what runs in it, its lifespan excepted."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        task = asyncio.current_task()
        assert task is not None, "a coroutine runs in a task"
        self._tasks.add(task)
        try:
            await self._app(scope, receive, send)
        finally:
            self._tasks.discard(task)

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()


def serve_on_trio(app: ASGIApp, config: "Config") -> None:
    import trio
    from hypercorn.trio import serve
    from hypercorn.trio.tcp_server import TCPServer

    let_connections_end(TCPServer)
    sockets = ToldOfShutdown(app)

    async def serve_until_signal() -> None:
        with trio.open_signal_receiver(*SIGNALS) as signals:

            async def until_told() -> None:
                await anext(signals)
                sockets.tell()

            await serve(sockets, config, shutdown_trigger=until_told, mode="asgi")  # type: ignore[arg-type] # as above

    try:
        trio.run(serve_until_signal)
    except BaseExceptionGroup as group:
        raise only_one_of(group)  # noqa: B904  # its context is the group, and that is right


def only_one_of(error: BaseException) -> BaseException:
    """The exception in a group of one, however deep; a group of several as it is."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


SERVE_ON: Final[Mapping[str, Callable[[ASGIApp, "Config"], None]]] = {
    "asyncio": serve_on_asyncio,
    "uvloop": serve_on_uvloop,
    "trio": serve_on_trio,
}
