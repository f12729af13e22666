"""handler: an ASGI application made of one blocking function."""

import functools
import inspect
from collections.abc import Callable, Iterable
from types import GeneratorType
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from .crossing.here import current_portal
from .crossing.pool import WorkerPool
from .exchange import AppExchange, HandlerExchange
from .exchange.forgetful import forgets_streams, on_forgetful
from .exchange.lifespan import through_lifespan
from .intake import SCOPE_KEY, Intake
from .limits import Limits
from .protocol.request import keep_headers
from .request import Request
from .trailers import checked_algorithm
from .types import Receive, Scope, Send
from .writer import Response

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, SupportsRead

    Answer: TypeAlias = (
        bytes | bytearray | memoryview | str | Iterable[ReadableBuffer] | SupportsRead[bytes] | None
    )

# Named, so that type checkers refuse what `_work` would: async def, and a generator of str.
Handler: TypeAlias = Callable[[Request, Response], "Answer"]

_FILE_CHUNK = 64 * 1024


class HandlerApp:
    """The application that `handler` makes; see there.

    Attributes:
        pool: the pool that the function runs on.
    """

    def __init__(
        self, function: Handler, *, limits: Limits, pool: WorkerPool, digest: str | None = None
    ) -> None:
        functools.update_wrapper(self, function)
        self._digest = digest
        self._function = function
        self._limits = limits
        self.pool = pool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope: an HTTP request, or the lifespan, with which the pool is closed."""
        match scope["type"]:
            case "http" if scope.get("extensions") and forgets_streams(scope):
                await on_forgetful(self, scope, receive, send, self._limits)
            case "http":
                if scope.get("headers").__class__ is not list:
                    keep_headers(scope)
                outer = scope.get(SCOPE_KEY)
                if isinstance(outer, AppExchange) and outer.reuses(receive):
                    intake = outer.intake
                    intake.use_limits(self._limits)
                    intake.claim()
                else:
                    intake = Intake.claimed(scope, receive, self._limits, current_portal())
                inner = dict(scope)  # in half the time of a display with ** in it
                inner[SCOPE_KEY] = intake
                await HandlerExchange(
                    self._work,
                    inner,
                    intake,
                    send,
                    pool=self.pool,
                    limits=self._limits,
                    digest=self._digest,
                ).run()
            case "lifespan":
                await through_lifespan(self._live, scope, receive, send, self._limits)
            case "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 1000})  # before accept: a 403
            case other:
                raise RuntimeError(f"a handler serves http, not {other!r}")

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # lifespan.startup
        self.pool.open()
        await send({"type": "lifespan.startup.complete"})
        await receive()  # lifespan.shutdown
        # a client in process may go on without a lifespan, or begin another one
        await self.pool.aclose(until_needed=True)
        await send({"type": "lifespan.shutdown.complete"})

    def _work(self, request: Request, response: Response) -> None:
        """Run the function and write what it returns; on a worker thread."""
        result: Any = self._function(request, response)  # callers without types return anything
        match result:
            case GeneratorType():  # asked first: most are, and it is asked in no time
                _write_all(result, result, response)
            case None:
                pass
            case bytes() | bytearray() | memoryview():
                response.write_whole(result)
            case str():
                response.headers.setdefault("content-type", "text/plain; charset=utf-8")
                response.write_whole(result.encode())
            case _ if callable(getattr(result, "read", None)):
                _write_all(iter(functools.partial(result.read, _FILE_CHUNK), b""), result, response)
            case Iterable():
                _write_all(result, result, response)
            case _:
                if inspect.iscoroutine(result):
                    result.close()
                raise TypeError(
                    "a handler returns bytes, str, an iterable of bytes-like objects, a binary "
                    f"file, or None, not {type(result).__name__}"
                )
        response.finish()

    def __repr__(self) -> str:
        return f"<handler {getattr(self._function, '__qualname__', self._function)!r}>"


def _write_all(chunks: Iterable[Any], owner: Any, response: Response) -> None:
    """Write every chunk, then close their owner, here in its own thread, whatever happens."""
    try:
        for chunk in chunks:
            if isinstance(chunk, str):
                raise TypeError("a handler yields bytes-like objects, not str; encode it")
            response.write(chunk)
            if response.bodiless:
                return  # nobody will see the rest of it
    finally:
        close = getattr(owner, "close", None)
        if close is not None:
            close()


@overload
def handler(
    function: Handler,
    /,
    *,
    limits: Limits = ...,
    pool: WorkerPool | None = ...,
    digest: str | None = ...,
) -> HandlerApp: ...
@overload
def handler(
    function: None = None,
    /,
    *,
    limits: Limits = ...,
    pool: WorkerPool | None = ...,
    digest: str | None = ...,
) -> Callable[[Handler], HandlerApp]: ...
def handler(
    function: Handler | None = None,
    /,
    *,
    limits: Limits | None = None,
    pool: WorkerPool | None = None,
    digest: str | None = None,
) -> HandlerApp | Callable[[Handler], HandlerApp]:
    """Make an ASGI application of one blocking function.

    The function is called as `function(request, response)` on a worker thread, and answers in one
    of these ways:

    - it returns `bytes`, `bytearray`, `memoryview` or `str`: the whole body. A `str` is sent as
      UTF-8, as `text/plain` unless the function has set a content-type;
    - it returns a generator, or any iterable, of bytes-like objects; or a binary file;
    - it writes to `response`, a binary file, and returns None.

    An exception before the first byte becomes a status: that of `HTTPError`, or of any exception
    with an integer `status_code`; else 500, and the exception goes on to the server's log. After
    the first byte the connection is cut, and never ended as if the body were whole.

    Args:
        function: the function; left out where `handler` is used as `@handler(...)`.
        limits: bounds on memory and time, see `Limits`.
        pool: where the function runs; a pool of its own by default. It is opened and closed with
            the lifespan, where the server runs one for this application; a request that comes
            after that opens it again.
        digest: "sha-256" or "sha-512", to have the body's digest sent as `content-digest` (RFC
            9530): in the header of a body that is known as a whole, else in a trailer, where the
            server offers trailers and the client has asked for them with `te: trailers`. One that
            the function sets itself stands.

    Returns:
        The application; also a decorator.

    Raises:
        TypeError: the function is `async def`, or is not callable.
        ValueError: there is no such digest.
    """
    if digest is not None:
        checked_algorithm(digest)
    limits = Limits() if limits is None else limits
    if function is None:
        return functools.partial(handler, limits=limits, pool=pool, digest=digest)
    _refuse_async(function)
    pool = WorkerPool() if pool is None else pool
    return HandlerApp(function, limits=limits, pool=pool, digest=digest)


def _refuse_async(function: Handler) -> None:
    name = getattr(function, "__qualname__", repr(function))
    if not callable(function):
        raise TypeError(f"a handler is a function, not {name}")
    called = [function, getattr(function, "__call__", None)]  # noqa: B004  # its code, not a test
    if any(inspect.iscoroutinefunction(f) or inspect.isasyncgenfunction(f) for f in called):
        raise TypeError(
            f"{name} is async: a handler is a blocking function, which runs on a worker thread. "
            "Write it with `def`, or serve async code as an ASGI application of its own, wrapped "
            "in BridgeMiddleware"
        )
