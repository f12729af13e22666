# A buffered server, from the request to the answer.
#
# It needs no handler and no bridge: the object is whole before its transform begins, and so is
# the answer. That makes it several times shorter, which is what small objects are about.
"""BufferedServing: serves what a buffered transform makes."""

import logging
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

import anyio

from asgi_bridge import ClientDisconnected

from .answers import Answer, Relay, answer_of
from .asgi import Receive, Scope, Send, respond_with, send_chunk, start_response
from .client import Client
from .delivery import Courier, Hop, deliver
from .errors import Refused
from .objects import DISCONNECT, Room, discard_body, whole_body, whole_of
from .reports import report
from .settings import Settings
from .sources import upstream
from .task import Task
from .transform import Buffered, Job, Made, made_of
from .watching import unless_gone

# A write of an answer, in bytes: larger ones would have the server hold them a second time.
_PIECE: Final = 256 * 1024


class BufferedServing:
    """Serves tasks with a buffered transform.

    Args:
        work: the transform.
        client: fetches and delivers.
        settings: what the environment says.
        flush_threshold: bytes of a next hop's answer that are held until it is whole.
        patience: seconds for a caller that makes no progress.
        logger: where failures go.
    """

    def __init__(
        self,
        work: Buffered,
        client: Client,
        settings: Settings,
        *,
        flush_threshold: int,
        patience: float,
        logger: logging.Logger,
    ) -> None:
        self._work = work
        self._client = client
        self._settings = settings
        self._flush_threshold = flush_threshold
        self._patience = patience
        self._logger = logger
        self._room = Room()

    async def serve(self, task: Task, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request.

        Raises:
            RuntimeError: it needs another host, and the event loop is not asyncio's.
        """
        hop = task.hop
        try:
            made = await self._made(task, scope, receive)
            if hop is None:
                if len(made.content) <= _PIECE:
                    await respond_with(send, made.content_type, bytes(made.content))
                else:
                    await self._answer(made, send)
                return
            answer = await unless_gone(
                receive, partial(self.deliver, task.job.path, hop, made.content, send)
            )
        except Refused as refused:
            answer = answer_of(refused)
        except ClientDisconnected:
            return
        if answer.reason:
            name = "" if task.hop is None else task.hop.name
            report(self._logger, task.job.path, answer.status, answer.reason, name)
        await answer.send(send)

    async def deliver(
        self, path: str, hop: Hop, content: bytes | memoryview, send: Send | None = None
    ) -> Answer:
        """Deliver an object to the next hop.

        Args:
            send: where a long answer of the hop goes; None to hold that in memory.
        """
        hold = None if send is None else self._flush_threshold
        courier = Courier(self._client, hop, Relay(hold, send))
        return await deliver(
            lambda: courier.put_whole(content, self._settings.slice_bytes),
            self._settings.retries,
            replayable=True,
            retrying=partial(report, self._logger, path, 503, hop=hop.name),
        )

    async def read(self, job: Job) -> bytes | str:
        """The object in a job's file, or where to find it.

        Raises:
            Refused: there is none, or it is nobody's business.
        """
        found: bytes | str = await self._room.on_a_thread(self._work.read, job)
        return found

    async def _of_body(self, job: Job, receive: Receive) -> Made:
        """What the transform makes of a request's body.

        Raises:
            Refused: the transform failed, or the body did not come.
            ClientDisconnected: the caller has left.
        """
        message = await receive()
        if message.get("more_body") or message["type"] == DISCONNECT:
            async with AsyncExitStack() as stack:
                body = await whole_body(message, receive, self._room, stack, self._patience)
                source: list[bytes | str] = [body]
                del body
                return await unless_gone(receive, partial(self._work.make, job, source))
        turn = await self._work.begin(job, [message.get("body", b"")])
        return made_of(turn.result() if turn.finished else await unless_gone(receive, turn.wait))

    async def _made(self, task: Task, scope: Scope, receive: Receive) -> Made:
        """What the transform makes of a task's object, wherever that is.

        Raises:
            Refused: there is no object, or the transform failed.
            ClientDisconnected: the caller has left.
        """
        if not (task.url or task.job.fqn):
            return await self._of_body(task.job, receive)
        async with AsyncExitStack() as stack:
            await discard_body(scope, receive)
            return await unless_gone(receive, partial(self._make_of_elsewhere, task, stack))

    async def _make_of_elsewhere(self, task: Task, stack: AsyncExitStack) -> Made:
        job = task.job
        if job.fqn:
            await self._room.take(stack)
            return await self._work.make(job, [await self.read(job)])
        async with upstream(self._client, task.url, foreign=task.foreign) as source:
            found: list[bytes | str] = [await whole_of(source.chunks(), self._room, stack)]
        return await self._work.make(job, found)

    async def _answer(self, made: Made, send: Send) -> None:
        """Send a long answer in pieces."""
        content = made.content
        headers = {"content-type": made.content_type, "content-length": str(len(content))}
        with anyio.move_on_after(self._patience) as scope, memoryview(content) as view:
            await start_response(send, 200, headers)
            for begin in range(0, len(content), _PIECE):
                scope.deadline = anyio.current_time() + self._patience
                last = begin + _PIECE >= len(content)
                await send_chunk(send, bytes(view[begin : begin + _PIECE]), last=last)
        if scope.cancelled_caught:
            raise ConnectionAbortedError("the caller does not take the answer")
