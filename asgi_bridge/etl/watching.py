# A caller that leaves is noticed by its server's `receive`, once the request's body has been read.
# Most work is over before anybody leaves, and a task that listens costs more than a small object:
# so nobody listens in the first moments.
"""Work for a caller, for as long as the caller is there."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio

from asgi_bridge import ClientDisconnected

from .asgi import Message, Receive
from .transform import Job

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
        listening.exception()  # a receive() that raises has nobody to tell
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


class Ear:
    """The `receive` of a streaming exchange, which tells its job of the caller's leaving.

    The bridge listens for that once a response has begun. Output may be held back for long before.

    Args:
        receive: the server's. There is never more than one call of it at a time.
        job: told.
        announced: whether the request has a body.

    Threads: an event loop's. On trio nobody listens.
    """

    def __init__(self, receive: Receive, job: Job, *, announced: bool) -> None:
        self._receive = receive
        self._job = job
        self._asked = False  # whether somebody waits in the server's receive()
        self._listening: asyncio.Task[Message] | None = None
        self._timer: asyncio.TimerHandle | None = None
        if not announced:
            self._listen_soon()

    async def __call__(self) -> Message:
        if self._job.gone:
            return {"type": _DISCONNECT}
        if self._listening is not None:
            return await asyncio.shield(self._listening)
        message = await self._hear()
        if message["type"] != _DISCONNECT and not message.get("more_body"):
            self._listen_soon()
        return message

    async def _hear(self) -> Message:
        self._asked = True
        try:
            message = await self._receive()
        finally:
            self._asked = False
        if message["type"] == _DISCONNECT:
            self._job.gone = True
        return message

    def _listen_soon(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if self._timer is None:
            self._timer = loop.call_later(LISTEN_AFTER, self._listen, loop)

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._asked:
            self._listening = loop.create_task(self._hear())
            self._listening.add_done_callback(take_notice)

    def close(self) -> None:
        """The exchange is over."""
        if self._timer is not None:
            self._timer.cancel()
        if self._listening is not None:
            self._listening.cancel()


def take_notice(task: asyncio.Task[Message]) -> None:
    """Let a failure of `receive` be the business of those who wait for it."""
    if not task.cancelled():
        task.exception()
