# A streaming server, from the request to the answer.
#
# Rule 1: what goes from the caller's body, or from a local file, straight back to the caller is
#         the handler's own business: the shortest way.
# Rule 2: everything else is an inner exchange of the same handler, between a receive and a send of
#         ours (sources.py, sinks.py), while an outer bridge keeps watch over the caller. If that
#         leaves, all of it is cancelled: the source, the transform, the delivery.
"""StreamingServing: serves what a streaming transform makes, while it makes it."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import anyio

from asgi_bridge import BridgeMiddleware, HandlerApp

from .answers import Answer, Relay, answer_of
from .asgi import Receive, Scope, Send, announces_body
from .client import Client
from .delivery import Courier, Hop, Run, deliver
from .errors import Refused
from .reports import report
from .settings import Settings
from .sinks import Sink
from .sources import Caller, NoBody, upstream
from .task import Task
from .transform import JOB
from .watching import Ear

_TASK: Final = "asgi_bridge.etl.task"


class StreamingServing:
    """Serves tasks with a streaming transform.

    Args:
        work: runs the transform.
        pull: likewise, on the same pool, for objects that come from a target.
        client: fetches and delivers.
        settings: what the environment says.
        flush_threshold: bytes of an answer that are held until it is whole.
        logger: where failures go.
    """

    def __init__(
        self,
        work: HandlerApp,
        pull: HandlerApp,
        client: Client,
        settings: Settings,
        *,
        flush_threshold: int,
        logger: logging.Logger,
    ) -> None:
        self._work = work
        self._pull = pull
        self._client = client
        self._settings = settings
        self._flush_threshold = flush_threshold
        self._logger = logger
        self._bridged = BridgeMiddleware(self._watched)

    async def serve(self, task: Task, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if task.hop is not None or task.url:
            await self._bridged({**scope, _TASK: task, JOB: task.job}, receive, send)
        else:
            job = task.job
            ear = Ear(receive, job, announced=announces_body(scope))
            try:
                await self._work({**scope, JOB: job}, ear, send)
            finally:
                ear.close()

    async def _watched(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a task for as long as its caller is there."""
        task: Task = scope[_TASK]
        caller = Caller(receive)
        if task.url or task.job.fqn:
            caller.leave_body()
        failure: Exception | None = None
        watching = anyio.CancelScope()
        async with anyio.create_task_group() as tasks:

            async def watch() -> None:
                with watching:
                    await caller.wait_gone()
                    task.job.gone = True
                    tasks.cancel_scope.cancel()

            tasks.start_soon(watch)
            try:
                await self._serve(task, caller, scope, send)
            except Exception as error:  # kept, for a task group would wrap it up
                failure = error
            watching.cancel()
        if failure is not None:
            raise failure

    async def _serve(self, task: Task, caller: Caller, scope: Scope, send: Send) -> None:
        try:
            if task.hop is None:
                async with upstream(self._client, task.url, foreign=task.foreign) as source:
                    await self._pull(source.scope(scope), source.receive, send)
                return
            answer = await self._deliver(task, task.hop, caller, scope, send)
            caller.leave_body()
        except Refused as refused:
            answer = answer_of(refused)
        if answer.reason:
            name = "" if task.hop is None else task.hop.name
            report(self._logger, task.job.path, answer.status, answer.reason, name)
        await answer.send(send)

    async def _deliver(
        self, task: Task, hop: Hop, caller: Caller, scope: Scope, send: Send
    ) -> Answer:
        courier = Courier(self._client, hop, Relay(self._flush_threshold, send))
        return await deliver(
            lambda: courier.put_stream(self._source(task, caller, scope)),
            self._settings.retries,
            replayable=bool(task.url or task.job.fqn),
            retrying=partial(report, self._logger, task.job.path, 503, hop=hop.name),
        )

    @asynccontextmanager
    async def _source(self, task: Task, caller: Caller, scope: Scope) -> AsyncIterator[Run]:
        """What runs the inner exchange on the task's source, which is open meanwhile."""
        if task.url:
            async with upstream(self._client, task.url) as source:
                yield partial(run_into, self._pull, source.scope(scope), source.receive)
        else:
            receive = NoBody() if task.job.fqn else caller.body
            yield partial(run_into, self._work, {**scope, "method": "PUT"}, receive)


async def run_into(work: HandlerApp, scope: Scope, receive: Receive, sink: Sink) -> None:
    """Run an inner exchange into a sink."""
    await work(scope, receive, sink.send)
