"""ETLApp: the ASGI application of an ETL server."""

import logging
from collections.abc import Callable
from typing import Any, Final, NoReturn, Protocol
from urllib.parse import parse_qsl, unquote_to_bytes

from asgi_bridge import BridgeMiddleware, WorkerPool

from .answers import answer_of
from .asgi import ASGIApp, Receive, Scope, Send, header_of, respond
from .client import Client
from .delivery import hop_of, vouched_for
from .errors import Refused, refused_for
from .fqn import sanitize_fqn
from .pipeline import compose_upstream_url, parse_etl_pipeline
from .reports import report
from .settings import Settings
from .task import Task
from .transform import Job

_REFUSAL: Final = "asgi_bridge.etl.refusal"
# What transformers call on AIStore's `app`, which is FastAPI's.
_ROUTES: Final = frozenset(
    "get put post delete patch head options api_route add_api_route add_route route mount "
    "include_router websocket".split()
)


class Serving(Protocol):
    """What answers the requests for objects."""

    async def serve(self, task: Task, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one."""


class ETLApp:
    """The application.

    Args:
        serving: answers the requests for objects.
        socket: answers WebSockets.
        pool: closed with the lifespan; None for none.
        client: likewise.
        settings: what the environment says.
        ws_max_bytes: kept, for whoever serves the application; likewise the next.
        switch_interval: seconds after which a thread that computes lets others have a turn.
        logger: where refusals go.
    """

    # For `asgi-bridge serve`: the server to take where none is named, and that no bridge is needed
    # around us: what streams has one, and all else is whole before it is answered.
    preferred_server: Final = "uvicorn"
    needs_no_bridge: Final = True

    def __init__(
        self,
        serving: Serving,
        socket: ASGIApp,
        *,
        pool: WorkerPool | None,
        client: Client,
        settings: Settings,
        ws_max_bytes: int,
        switch_interval: float,
        logger: logging.Logger,
    ) -> None:
        self.ws_max_bytes = ws_max_bytes
        self.switch_interval = switch_interval
        self._serving = serving
        self._socket = socket
        self._pool = pool
        self._client = client
        self._settings = settings
        self._logger = logger
        self._refuse = BridgeMiddleware(refuse)  # which takes in an upload that nobody wants
        self._alive = BridgeMiddleware(self._live)  # which hears of the server's shutdown
        self._outermost: ASGIApp | None = None  # what was added with add_middleware

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if self._outermost is not None:
            await self._outermost(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await self._serve(scope, receive, send)

    def add_middleware(
        self, middleware: Callable[..., ASGIApp], *args: Any, **options: Any
    ) -> None:
        """Put an ASGI middleware around all that has been added before; as Starlette does."""
        self._outermost = middleware(self._outermost or self._serve, *args, **options)

    def __getattr__(self, name: str) -> NoReturn:
        if name in _ROUTES:
            raise AttributeError(
                f"an ETL server's app is no FastAPI application and has no {name!r}; mount it below"
                " routes of your own, as in Starlette(routes=[Route(...), Mount('/', server.app)])"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
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
            if task.hop is not None:
                task = task._replace(hop=await vouched_for(task.hop, self._settings))
        except Exception as error:
            refused = refused_for(error)
            assert isinstance(refused, Refused), "nobody has left yet"
            report(self._logger, path, refused.status_code, refused.reason)
            await self._refuse({**scope, _REFUSAL: refused}, receive, send)
            return
        await self._serving.serve(task, scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # lifespan.startup
        try:
            if self._pool is not None:
                self._pool.open()
            self._settings.ssl_context()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()  # lifespan.shutdown
        await self._client.aclose()
        if self._pool is not None:
            await self._pool.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    def _task(self, method: str, path: str, scope: Scope) -> Task:
        """What a request asks for.

        Raises:
            Refused: it asks for nothing that there is.
            ValueError: its pipeline is malformed.
        """
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
            url = compose_upstream_url(self._settings.target_url, name_of(scope, path), latest)
        hop = None
        if pipeline.first:
            hop = hop_of(pipeline, self._settings, name_of(scope, path), etl_args)
        return Task(Job(path, etl_args, fqn), hop, url)


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that answers with the refusal in its scope."""
    await answer_of(scope[_REFUSAL]).send(send)


def path_of(scope: Scope) -> str:
    """The object's path: without the leading slash, and without what we are mounted under."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    if root and (path == root or path.startswith(root + "/")):
        path = path[len(root) :]
    return path.removeprefix("/")


def name_of(scope: Scope, path: str) -> str | bytes:
    """The object's path for other hosts: byte for byte, if it is no UTF-8.

    Servers put U+FFFD into `path` for what they cannot decode.
    """
    raw: bytes = scope.get("raw_path") or b""
    if "\ufffd" not in path or not raw:
        return path
    name = unquote_to_bytes(raw.partition(b"?")[0])
    root: bytes = scope.get("root_path", "").rstrip("/").encode()
    if root and name.startswith(root + b"/"):
        name = name[len(root) :]
    return name.removeprefix(b"/")
