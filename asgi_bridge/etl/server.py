"""ETLServer: what a transformer derives from."""

import asyncio
import inspect
import logging
import os
import sys
import threading
from collections.abc import Iterable
from dataclasses import replace
from typing import IO, Any, Final

from asgi_bridge import Limits, Watermarks, WorkerPool, handler

from .app import ETLApp
from .asgi import Receive, Scope, Send
from .fqn import FileAccess
from .settings import Settings
from .transform import Output, Transformation

# AIStore keeps idle connections for 6 s, 30 s at most; a server that closes them first loses
# objects that are just being sent.
KEEP_ALIVE_TIMEOUT: Final = 75
WS_MAX_BYTES: Final = 16 * 1024 * 1024 * 1024

_WORKERS: Final = 64
_PIECE: Final = 1024 * 1024
_PATIENCE: Final = 600.0  # seconds for a caller, or a next hop, that makes no progress


class ETLServer:
    """A server of AIStore's ETL protocol around one blocking transform.

    Derive from it, override `transform` or `transform_stream`, and give an instance, or its
    `app`, to any ASGI server; or call `start`. If both are overridden, `transform` is used.

    Args:
        host: where `start` listens.
        port: likewise.

    Attributes:
        logger: for the transform's own messages.
        host_target: `AIS_TARGET_URL`.
        direct_put: `DIRECT_PUT`; this and the next two are for information only.
        direct_fqn: `ETL_DIRECT_FQN`.
        direct_put_retries: `AIS_DIRECT_PUT_RETRIES`.
        use_streaming: whether it is `transform_stream` that is called.
        app: the ASGI application.
        ws_max_bytes: the longest WebSocket message; `start` and `asgi-bridge serve` allow it.
        flush_threshold: an answer up to this many bytes is whole before it starts, and its
            failures have a status.

    Raises:
        TypeError: neither of the two is overridden, or one is `async def`.
        EnvironmentError: `AIS_TARGET_URL` is not set.
        ValueError: another variable is malformed.
    """

    flush_threshold: int = 1024 * 1024
    ws_max_bytes: int = WS_MAX_BYTES

    def __init__(self, host: str = "0.0.0.0", port: int = 8000) -> None:
        self.host = host
        self.port = port
        self.logger = logging.getLogger(type(self).__name__)
        self.use_streaming = streaming = self._mode()
        settings = Settings.from_environment(os.environ)
        self.host_target = settings.target_url
        self.direct_put = settings.direct_put
        self.direct_fqn = settings.direct_fqn
        self.direct_put_retries = settings.retries
        raise_file_limit()
        own_files = [*(settings.certificate or ()), *source_files(type(self))]
        work = Transformation(
            transform=None if streaming else self.transform,
            transform_stream=self.transform_stream,
            mime_type=self.get_mime_type,
            files=FileAccess(settings.fqn_roots, own_files),
            direct_fqn=settings.direct_fqn,
            flush_threshold=self.flush_threshold,
            logger=self.logger,
        )
        limits = Limits(read_timeout=_PATIENCE, write_timeout=_PATIENCE)
        if not streaming:  # whole objects are in memory anyway, and larger pieces go out faster
            piece = Watermarks(high=2 * _PIECE, low=_PIECE)
            limits = replace(limits, message_bytes=_PIECE, response=piece)
        pool = WorkerPool(_WORKERS, name="etl")
        self.app = ETLApp(
            handler(work, limits=limits, pool=pool),
            # Targets read while they write: what they send needs no file to wait in.
            handler(work, limits=replace(limits, duplex="full"), pool=pool),
            settings,
            streaming=streaming,
            flush_threshold=self.flush_threshold,
            ws_max_bytes=self.ws_max_bytes,
        )

    def _mode(self) -> bool:
        """Whether to stream, by what the class overrides."""
        kind = type(self)
        buffered = kind.transform is not ETLServer.transform
        if not buffered and kind.transform_stream is ETLServer.transform_stream:
            raise TypeError(
                f"{kind.__name__} must override either transform() or transform_stream()"
            )
        used = kind.transform if buffered else kind.transform_stream
        if inspect.iscoroutinefunction(used) or inspect.isasyncgenfunction(used):
            raise TypeError(f"{kind.__name__}.{used.__name__}() runs on a worker thread: use `def`")
        return not buffered

    # What a transformer overrides.

    def transform(self, data: Any, path: str, etl_args: str) -> Output:
        """Make the transformed object of the whole object; on a worker thread.

        Args:
            data: the object, as `bytes`; the path of its file where `ETL_DIRECT_FQN` is set and
                the request names one.
            path: the object's path.
            etl_args: the request's arguments, empty for none.
        """
        raise NotImplementedError

    def transform_stream(self, reader: IO[bytes], path: str, etl_args: str) -> Iterable[Any]:
        """Make the transformed object piece by piece, while the object comes; on a worker thread.

        It may be called again for the same object when a delivery is tried again.

        Args:
            reader: the object as a blocking binary file.
            path: the object's path.
            etl_args: the request's arguments, empty for none.
        """
        raise NotImplementedError

    def get_mime_type(self) -> str:
        """The content-type of what is made."""
        return "application/octet-stream"

    # Serving.

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope: the instance is an ASGI application, too."""
        await self.app(scope, receive, send)

    def start(self) -> None:
        """Serve with Hypercorn on `host` and `port` until SIGINT or SIGTERM.

        Threads: any; but only the main thread hears of signals. On another one it serves until the
        process ends.
        """
        from hypercorn.asyncio import serve
        from hypercorn.config import Config

        config = Config()
        config.bind = [f"{self.host}:{self.port}"]
        config.keep_alive_timeout = KEEP_ALIVE_TIMEOUT
        config.websocket_max_message_size = self.ws_max_bytes
        on_main_thread = threading.current_thread() is threading.main_thread()
        until = None if on_main_thread else asyncio.Event().wait  # which nobody sets
        asyncio.run(serve(self, config, shutdown_trigger=until, mode="asgi"))  # type: ignore[arg-type] # Hypercorn's scopes are TypedDicts


FastAPIServer = ETLServer


def source_files(kind: type) -> Iterable[str]:
    """The files with the code of a class and its bases."""
    for each in kind.__mro__:
        file = getattr(sys.modules.get(each.__module__), "__file__", None)
        if file is not None:
            yield file


def raise_file_limit() -> None:
    """Allow as many open files as the system lets us."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
