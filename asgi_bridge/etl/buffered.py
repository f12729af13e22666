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
from .asgi import Receive, Scope, Send, respond, send_chunk, start_response
from .client import Client
from .delivery import Courier, Hop, deliver
from .errors import Refused
from .objects import Room, discard_body, whole, whole_body
from .reports import report
from .settings import Settings
from .sources import upstream
from .task import Task
from .transform import Buffered, Job, Made
from .watching import unless_gone

# A write of an answer: larger ones would have the server hold them a second time.
_PIECE: Final = 1024 * 1024


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
        try:
            made = await self._made(task, scope, receive)
            hop = task.hop
            if hop is None:
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

    async def _made(self, task: Task, scope: Scope, receive: Receive) -> Made:
        """What the transform makes of a task's object.

        Raises:
            Refused: there is no object, or the transform failed.
            ClientDisconnected: the caller has left.
        """
        job = task.job
        async with AsyncExitStack() as stack:
            if task.url or job.fqn:
                await discard_body(scope, receive)
                return await unless_gone(receive, lambda: self._make_of_elsewhere(task, stack))
            source = [await whole_body(receive, self._room, stack, self._patience)]
            return await unless_gone(receive, lambda: self._make(task, source))

    async def _make(self, task: Task, source: list[bytes] | list[bytes | str]) -> Made:
        try:
            return await self._work.make(task.job, source)  # type: ignore[arg-type] # it only takes out
        except Refused as refused:
            refused.reason = ""  # the transform has logged it
            raise

    async def _make_of_elsewhere(self, task: Task, stack: AsyncExitStack) -> Made:
        job = task.job
        if job.fqn:
            await self._room.take(stack)
            return await self._make(task, [await self.read(job)])
        async with upstream(self._client, task.url, foreign=task.foreign) as source:
            found = [await whole(source.chunks(), self._room, stack)]
        return await self._make(task, found)

    async def _answer(self, made: Made, send: Send) -> None:
        content, headers = made.content, {"content-type": made.content_type}
        if len(content) <= _PIECE:
            await respond(send, 200, bytes(content), headers)
            return
        await start_response(send, 200, {**headers, "content-length": str(len(content))})
        with memoryview(content) as view:
            for begin in range(0, len(content), _PIECE):
                last = begin + _PIECE >= len(content)
                with anyio.move_on_after(self._patience) as scope:
                    await send_chunk(send, bytes(view[begin : begin + _PIECE]), last=last)
                if scope.cancelled_caught:
                    raise ConnectionAbortedError("the caller does not take the answer")
