# How a request is answered.
#
# Rule 1: what goes from the caller's body, or from a local file, straight back to the caller is
#         the handler's own business: the shortest way.
# Rule 2: everything else is an inner exchange of the same handler, between a receive and a send of
#         ours (sources.py, sinks.py), while an outer bridge keeps watch over the caller. If that
#         leaves, all of it is cancelled: the source, the transform, the delivery.
"""ETLApp: the ASGI application of an ETL server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

import anyio

from asgi_bridge import BridgeMiddleware, HandlerApp, Request, Response, handler

from .answers import Answer, Relay, answer_of
from .asgi import Receive, Scope, Send, header_of, respond
from .client import Client
from .delivery import Courier, Hop, Run, collect, deliver, hop_of, refusal_from
from .errors import Refused, refused_for
from .fqn import sanitize_fqn
from .pipeline import compose_upstream_url, parse_etl_pipeline
from .settings import Settings
from .sinks import Sink
from .sources import Caller, NoBody, upstream
from .transform import JOB, Job
from .websocket import ObjectSocket

_TASK: Final = "asgi_bridge.etl.task"


class Task(NamedTuple):
    """What a request asks for.

    Attributes:
        job: for the transform.
        hop: where the output goes, None for the caller.
        url: where the object comes from, empty for a file and for the request's body.
        foreign: that is not a target's.
    """

    job: Job
    hop: Hop | None
    url: str = ""
    foreign: bool = False


class ETLApp:
    """The application.

    Args:
        work: runs the transform; its pool is closed with the lifespan.
        pull: likewise, on the same pool, for objects that come from a target.
        settings: what the environment says.
        streaming: whether the server streams, and so has no WebSocket.
        flush_threshold: bytes of an answer that are held until it is whole.
        ws_max_bytes: kept, for whoever serves the application.
    """

    def __init__(
        self,
        work: HandlerApp,
        pull: HandlerApp,
        settings: Settings,
        *,
        streaming: bool,
        flush_threshold: int,
        ws_max_bytes: int,
    ) -> None:
        self.ws_max_bytes = ws_max_bytes
        self._work = work
        self._pull = pull
        self._settings = settings
        self._streaming = streaming
        self._flush_threshold = flush_threshold
        self._client = Client(settings)
        self._refuse = handler(refuse, pool=work.pool)
        self._bridged = BridgeMiddleware(self._watched)
        self._alive = BridgeMiddleware(self._live)  # which hears of the server's shutdown
        self._socket = ObjectSocket(work, self._client, settings, streaming=streaming)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "websocket":
                await self._socket(scope, receive, send)
            case "lifespan":
                await self._alive(scope, receive, send)
            case other:
                raise RuntimeError(f"an ETL server serves http and websocket, not {other!r}")

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], path_of(scope)
        if method == "GET" and path == "health":
            await respond(send, 200, b"Running", {})
            return
        try:
            task = self._task(method, path, scope)
        except Exception as error:
            await self._refuse({**scope, _TASK: refused_for(error)}, receive, send)
            return
        if task.hop is not None or task.url:
            await self._bridged({**scope, _TASK: task, JOB: task.job}, receive, send)
        else:
            await self._work({**scope, JOB: task.job}, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # lifespan.startup
        try:
            self._work.pool.open()
            self._settings.ssl_context()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()  # lifespan.shutdown
        await self._client.aclose()
        await self._work.pool.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    # What is asked for.

    def _task(self, method: str, path: str, scope: Scope) -> Task:
        raw: bytes = scope.get("query_string", b"")
        query = dict(parse_qsl(raw.decode("latin-1"), True)) if raw else {}
        etl_args = query.get("etl_args", "").strip()
        if method == "POST" and path == "download":
            link, name = query.get("original_url", ""), query.get("object_to", "")
            if not link.startswith(("http://", "https://")) or not name:
                raise Refused(400, "object_to and an http original_url are required")
            return Task(Job(name, etl_args, ""), None, link, foreign=True)
        if method not in ("GET", "PUT"):
            raise Refused(405, "Method Not Allowed", {"allow": "GET, PUT"})
        pipeline = parse_etl_pipeline(header_of(scope, b"ais-node-url"))
        raw_fqn = query.get("etl_fqn", "").strip()
        fqn = sanitize_fqn(raw_fqn) if raw_fqn else ""
        url = ""
        if method == "GET" and not fqn:
            latest = query.get("latest-ver", "")
            url = compose_upstream_url(self._settings.target_url, path, latest)
        hop = hop_of(pipeline, self._settings, path, etl_args)
        return Task(Job(path, etl_args, fqn), hop, url)

    # The longer ways.

    async def _watched(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a task for as long as its caller is there."""
        task: Task = scope[_TASK]
        caller = Caller(receive)
        if task.url or task.job.fqn:
            caller.leave_body()
        failure: Exception | None = None
        async with anyio.create_task_group() as tasks:

            async def watch() -> None:
                await caller.wait_gone()
                tasks.cancel_scope.cancel()

            tasks.start_soon(watch)
            try:
                await self._serve(task, caller, scope, send)
            except Exception as error:  # kept, for a task group would wrap it up
                failure = error
            tasks.cancel_scope.cancel()
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
        await answer.send(send)

    async def _deliver(
        self, task: Task, hop: Hop, caller: Caller, scope: Scope, send: Send
    ) -> Answer:
        settings = self._settings
        courier = Courier(self._client, hop, Relay(self._flush_threshold, send))
        source = partial(self._source, task, caller, scope)
        if self._streaming:
            return await deliver(
                lambda: courier.put_stream(source()),
                settings.retries,
                replayable=bool(task.url or task.job.fqn),
            )
        async with source() as run:
            collected = await collect(run)
        if collected.refused:
            return refusal_from(collected)
        return await deliver(
            lambda: courier.put_whole(collected.content, settings.slice_bytes),
            settings.retries,
            replayable=True,
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


def refuse(request: Request, response: Response) -> None:
    """A handler that answers with the refusal in its scope."""
    raise request.scope[_TASK]


def path_of(scope: Scope) -> str:
    """The object's path: without the leading slash, and without what we are mounted under."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    if root and (path == root or path.startswith(root + "/")):
        path = path[len(root) :]
    return path.removeprefix("/")
