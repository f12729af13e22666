"""ETLServer: what a transformer derives from."""

import inspect
import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from typing import IO, Any, Final, NoReturn

from asgi_bridge import Limits, WorkerPool, handler

from .app import ETLApp
from .asgi import Receive, Scope, Send
from .buffered import BufferedServing
from .client import Client
from .fqn import FileAccess, sanitize_fqn
from .outputs import Output
from .reports import set_up_logging
from .settings import CONCURRENCY_VARIABLE, Settings
from .streaming import StreamingServing
from .transform import Buffered, Streaming
from .turns import MadeOnItsThread, Turns
from .websocket import ObjectSocket

# AIStore keeps idle connections for 6 s, 30 s at most; a server that closes them first loses
# objects that are just being sent.
KEEP_ALIVE_TIMEOUT: Final = 75
WS_MAX_BYTES: Final = 16 * 1024 * 1024 * 1024
# Streaming transforms at once. AIStore's own server has 40 threads for them.
STREAMS: Final = 64
# Seconds after which a thread that computes in Python lets others have a turn, under `start` and
# `asgi-bridge serve`. A loop beside many of them needs the shorter one. Beside one it waits for one
# only, and a turn of a small transform costs 25 us more with the shorter interval (measured: 14 and
# 40 us there and back, on 2 cores; Python's own 5 ms gain nothing over the 2).
MANY_COMPUTE: Final = 0.0005
ONE_COMPUTES: Final = 0.002

_PATIENCE: Final = 600.0  # seconds for a caller, or a next hop, that makes no progress


class ETLServer(metaclass=MadeOnItsThread):
    """A server of AIStore's ETL protocol around one blocking transform.

    One object of the class serves every request. What `__init__` puts on `self` is therefore shared
    by all of them, and `concurrency` says how many may use it at once. By default that is one:
    `transform` is called for one object after the other, always on the same thread, and on that
    thread the object itself is made. So models, connections and counters on `self` are safe, as
    they are in AIStore's own server. A transform that shares nothing, or only what may be used by
    several threads, gets faster with a larger number. `transform_stream` is called for many objects
    at once, here as there.

    Derive from it, override `transform` or `transform_stream`, and give an instance, or its
    `app`, to any ASGI server; or call `start`. If both are overridden, `transform` is used.

    Args:
        host: where `start` listens.
        port: likewise.
        concurrency: goes before the class' own.

    Attributes:
        concurrency: most transforms at once. 1 means one and the same thread for all of them, 0 the
            thread of the event loop, where everything else then waits for the transform. None for
            1, or for STREAMS where `transform_stream` is used. What AIS_ETL_CONCURRENCY says goes
            before it, unless it is 0 or 1: those are promises to the transform.
        logger: for the transform's own messages; to stdout, from LOG_LEVEL (INFO) upwards, unless
            logging has been set up otherwise.
        host_target: `AIS_TARGET_URL`.
        direct_put: `DIRECT_PUT`; this and the next two are for information only.
        direct_fqn: `ETL_DIRECT_FQN`.
        direct_put_retries: `AIS_DIRECT_PUT_RETRIES`.
        use_streaming: whether it is `transform_stream` that is called.
        app: the ASGI application.
        ws_max_bytes: the longest WebSocket message; `start` and `asgi-bridge serve` allow it.
        flush_threshold: of a streaming server, an answer up to this many bytes is whole before it
            starts, and its failures have a status.

    Raises:
        TypeError: neither of the two is overridden, or one is `async def`.
        EnvironmentError: `AIS_TARGET_URL` is not set.
        ValueError: another variable is malformed, or `concurrency` is.
    """

    preferred_server: Final = ETLApp.preferred_server
    needs_no_bridge: Final = True

    flush_threshold: int = 1024 * 1024
    ws_max_bytes: int = WS_MAX_BYTES
    concurrency: int | None = None

    def __init__(
        self, host: str = "0.0.0.0", port: int = 8000, *, concurrency: int | None = None
    ) -> None:
        self.host = host
        self.port = port
        self.use_streaming = streaming = self._mode()
        self._settings = settings = Settings.from_environment(os.environ)
        self.logger = logger = set_up_logging(type(self).__name__)
        self.host_target = os.environ["AIS_TARGET_URL"]
        self.direct_put = settings.direct_put
        self.direct_fqn = settings.direct_fqn
        self.direct_put_retries = settings.retries
        raise_file_limit()
        if concurrency is None:
            concurrency = self.concurrency
        self.concurrency = size = concurrency_of(concurrency, settings, streaming=streaming)
        own_files = [*(settings.certificate or ()), *source_files(type(self))]
        files = FileAccess(settings.fqn_roots, own_files)
        client = Client(settings)
        pool: WorkerPool | None = None
        serving: BufferedServing | StreamingServing
        if streaming:
            # A crowd waits in line: AIStore takes a bare 503 for final.
            pool = WorkerPool(size, most_connections(), name="etl")
            streams = Streaming(
                transform_stream=self.transform_stream,
                mime_type=self.get_mime_type,
                files=files,
                flush_threshold=self.flush_threshold,
                logger=logger,
            )
            limits = Limits(read_timeout=_PATIENCE, write_timeout=_PATIENCE)
            serving = StreamingServing(
                handler(streams, limits=limits, pool=pool),
                # Targets read while they write: what they send needs no file to wait in.
                handler(streams, limits=replace(limits, duplex="full"), pool=pool),
                client,
                settings,
                flush_threshold=self.flush_threshold,
                logger=logger,
            )
            socket = ObjectSocket(None, None, settings, logger)
        else:
            turns = Turns.here() or Turns(1, "etl-transform")
            turns.size = size
            whole = Buffered(
                transform=self.transform,
                mime_type=self.get_mime_type,
                files=files,
                direct_fqn=settings.direct_fqn,
                turns=turns,
                logger=logger,
            )
            serving = BufferedServing(
                whole,
                client,
                settings,
                flush_threshold=self.flush_threshold,
                patience=_PATIENCE,
                logger=logger,
            )
            socket = ObjectSocket(serving, whole, settings, logger)
        self.app = ETLApp(
            serving,
            socket,
            pool=pool,
            client=client,
            settings=settings,
            ws_max_bytes=self.ws_max_bytes,
            switch_interval=MANY_COMPUTE if streaming or size > 1 else ONE_COMPUTES,
            logger=logger,
        )

    @classmethod
    def _is_buffered(cls) -> bool:
        return cls.transform is not ETLServer.transform

    @classmethod
    def _made_on_its_thread(cls) -> bool:
        """Whether to make its objects where `transform` will be called."""
        promised = cls.concurrency if cls.concurrency is not None else 1
        asked = os.environ.get(CONCURRENCY_VARIABLE, "").strip()
        return cls._is_buffered() and promised != 0 and not (promised != 1 and asked == "0")

    def _mode(self) -> bool:
        """Whether to stream, by what the class overrides."""
        kind = type(self)
        buffered = kind._is_buffered()
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
        """Make the transformed object of the whole object; one at a time, see `concurrency`.

        Args:
            data: the object, as `bytes`; the path of its file where `ETL_DIRECT_FQN` is set and
                the request names one.
            path: the object's path.
            etl_args: the request's arguments, empty for none.
        """
        raise NotImplementedError

    def transform_stream(self, reader: IO[bytes], path: str, etl_args: str) -> Iterable[Any]:
        """Make the transformed object piece by piece, while the object comes; on a worker thread.

        It is called for many objects at once, and may be called again for the same object when a
        delivery is tried again.

        Args:
            reader: the object as a blocking binary file.
            path: the object's path.
            etl_args: the request's arguments, empty for none.
        """
        raise NotImplementedError

    def get_mime_type(self) -> str:
        """The content-type of what is made; called after each `transform`, on its thread."""
        return "application/octet-stream"

    # What AIStore's own servers have, for transformers that use it.

    def sanitize_fqn(self, fqn: str) -> str:
        """The absolute, normal path that an `etl_fqn` value stands for."""
        return sanitize_fqn(fqn)

    @cached_property
    def session(self) -> Any:
        """A `requests.Session` with the TLS settings and the bearer token for the target.

        Raises:
            AttributeError: `requests` is not installed.
        """
        try:
            import requests  # type: ignore[import-untyped] # its types are a package of their own
        except ImportError:
            raise AttributeError("`session` is a requests.Session; pip install requests") from None
        session = requests.Session()
        session.verify, session.cert = self._settings.verify, self._settings.certificate
        if self._settings.token is not None:
            session.headers["Authorization"] = f"Bearer {self._settings.token}"
        return session

    @property
    def client(self) -> NoReturn:
        """Not here: in AIStore's server it is an asynchronous client, of no use to a transform."""
        raise AttributeError(
            "an ETL server has no `client`; use `self.session`, or an httpx.Client of your own"
        )

    # Serving.

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope: the instance is an ASGI application, too."""
        await self.app(scope, receive, send)

    def start(self) -> None:
        """Serve with uvicorn on `host` and `port` until SIGINT or SIGTERM.

        Threads: any; but only the main thread hears of signals. On another one it serves until the
        process ends.
        """
        import uvicorn

        sys.setswitchinterval(self.app.switch_interval)
        uvicorn.run(
            self,
            host=self.host,
            port=self.port,
            log_config=None,  # as the rest
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE_TIMEOUT,
            ws_max_size=self.ws_max_bytes,
        )


FastAPIServer = ETLServer


def concurrency_of(said: int | None, settings: Settings, *, streaming: bool) -> int:
    """How many transforms may run at once.

    Args:
        said: by the class or its caller; None for nothing.

    Raises:
        ValueError: it is too small.
    """
    least = 1 if streaming else 0
    promised = said is not None and said in (0, 1)
    asked = said if promised or settings.concurrency is None else settings.concurrency
    size = (STREAMS if streaming else 1) if asked is None else asked
    if size < least:
        raise ValueError(f"concurrency is at least {least}, not {size}")
    return size


def most_connections() -> int:
    """As many connections as the process may have open."""
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


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
