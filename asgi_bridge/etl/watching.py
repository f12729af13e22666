# A caller that leaves is noticed by its server's `receive`, once the request's body has been read.
# Most work is over before anybody leaves, and a task that listens costs more than a small object:
# so nobody listens in the first moments.
"""Work for a caller, for as long as the caller is there."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio

from asgi_bridge import ClientDisconnected

from .asgi import Receive

T = TypeVar("T")

_DISCONNECT: Final = "http.disconnect"
# Seconds. A caller that has left is to be noticed within half a second.
LISTEN_AFTER: Final = 0.1


async def unless_gone(receive: Receive, work: Callable[[], Awaitable[T]]) -> T:
    """Do some work; cancel it when the caller leaves.

    Args:
        receive: the server's; the request's body has been read, or nobody wants it.
        work: what to do.

    Raises:
        ClientDisconnected: the caller has left.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return await _on_any_loop(receive, work)
    task = asyncio.current_task()
    assert task is not None, "a coroutine runs in a task"
    listener: asyncio.Task[None] | None = None
    gone = False

    def left(listening: asyncio.Task[None]) -> None:
        nonlocal gone
        if not listening.cancelled():
            listening.exception()  # a receive() that raises has nobody to tell of
            gone = True
            task.cancel()

    def listen() -> None:
        nonlocal listener
        listener = loop.create_task(until_gone(receive))
        listener.add_done_callback(left)

    timer = loop.call_later(LISTEN_AFTER, listen)
    try:
        return await work()
    except asyncio.CancelledError:
        if gone and not task.uncancel():
            raise ClientDisconnected("the caller has left") from None
        raise
    finally:
        timer.cancel()
        if listener is not None:
            listener.remove_done_callback(left)
            listener.cancel()


async def _on_any_loop(receive: Receive, work: Callable[[], Awaitable[T]]) -> T:
    results: list[T] = []
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:

        async def listen() -> None:
            await anyio.sleep(LISTEN_AFTER)
            await until_gone(receive)
            tasks.cancel_scope.cancel()

        tasks.start_soon(listen)
        try:
            results.append(await work())
        except Exception as error:  # kept, for a task group would wrap it up
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
    if not results:
        raise ClientDisconnected("the caller has left")
    return results[0]


async def until_gone(receive: Receive) -> None:
    """Wait until a caller has left."""
    while (await receive())["type"] != _DISCONNECT:
        pass  # the rest of a body that nobody wants
