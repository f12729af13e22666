"""BridgeMiddleware and open_body: the bridge around an application."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, overload

from .crossing.allocator import keep_freed_memory
from .crossing.here import current_portal
from .errors import BridgeNotInstalled
from .exchange import AppExchange
from .exchange.counted import CountedExchange, OnExchangeEnd
from .exchange.forgetful import forgets_streams, on_forgetful
from .exchange.lifespan import through_lifespan
from .intake import SCOPE_KEY, intake_of
from .limits import Limits
from .reader import BodyReader
from .single import single_callable
from .spool import SpooledReader
from .types import ASGIApp, Receive, Scope, Send


class BridgeMiddleware:
    """A raw ASGI callable around any ASGI application.

    Args:
        app: the application, of ASGI 3, or of ASGI 2 with its two calls.
        limits: bounds on memory and time, see `Limits`.
        on_exchange_end: called after each HTTP exchange with its `ExchangeStats`, on the event
            loop, so it must not block. What it raises goes into the log and nowhere else.
        withhold: called with the scope of each HTTP request; whether its body is kept for
            `open_body`. The application's own `receive` then tells of an empty body, and after
            that of the disconnect only. For frameworks that read the body before they call
            anyone's code: Django, Quart, Falcon.

    Around itself, directly or with other middleware in between, it stands aside: the outer one
    does the work, and the inner one only steps in where something in between replaced `receive`.

    Scopes other than `http` pass through untouched. From the lifespan's begin to its end the bridge
    hears of SIGTERM and SIGINT where the server listens for them, see `Limits.shutdown_timeout`.
    """

    def __init__(
        self,
        app: ASGIApp | Any,
        *,
        limits: Limits | None = None,
        on_exchange_end: OnExchangeEnd | None = None,
        withhold: Callable[[Scope], bool] | None = None,
    ) -> None:
        self.app: ASGIApp = single_callable(app)
        self._limits = Limits() if limits is None else limits
        self._exchange: Callable[..., AppExchange] = (
            AppExchange if on_exchange_end is None else partial(CountedExchange, on_exchange_end)
        )
        self._withhold = withhold
        keep_freed_memory()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await through_lifespan(self.app, scope, receive, send, self._limits)
            else:
                await self.app(scope, receive, send)
            return
        if "extensions" in scope and forgets_streams(scope):
            await on_forgetful(self, scope, receive, send, self._limits)
            return
        if SCOPE_KEY in scope:
            outer = scope[SCOPE_KEY]
            if isinstance(outer, AppExchange) and outer.reuses(receive):
                if self._withhold is not None and self._withhold(scope):
                    outer.intake.withhold()
                await self.app(scope, receive, send)
                return
        exchange = self._exchange(scope, receive, send, self._limits, current_portal())
        if self._withhold is not None and self._withhold(scope):
            exchange.intake.withhold()
        try:
            await exchange.call(self.app)
            if not exchange.sent:
                await exchange.finish()
        except BaseException as error:
            if not await exchange.fail(error):
                raise
        finally:
            closing = exchange.leave()
            if closing is not None:
                await closing


@overload
def open_body(scope: Any, *, spool: Literal[False] = ...) -> BodyReader: ...
@overload
def open_body(scope: Any, *, spool: Literal[True]) -> SpooledReader: ...
@overload
def open_body(scope: Any, *, spool: bool) -> BodyReader | SpooledReader: ...
def open_body(scope: Any, *, spool: bool = False) -> BodyReader | SpooledReader:
    """Claim a request's body and read it as a blocking binary file.

    From then on the application's own `receive` yields only `http.disconnect`.

    Args:
        scope: an ASGI scope, or anything with one as its `.scope`, such as the request objects of
            Starlette, FastAPI, Litestar, Django, Quart, BlackSheep and Falcon.
        spool: keep what has been read in a temporary file, on disk when it is large, so that the
            reader can seek.

    Raises:
        BridgeNotInstalled: the scope came through no `BridgeMiddleware` and no `handler`.
        BodyAlreadyClaimed: there is a reader, or the application has read from it itself.

    Threads: any. The reader itself only works off the event loop's thread.
    """
    if not isinstance(scope, dict):
        scope = getattr(scope, "scope", scope)
    intake = intake_of(scope)
    if intake is None:
        raise BridgeNotInstalled(
            "no BridgeMiddleware has seen this request; wrap the application: "
            "app = BridgeMiddleware(app)"
        )
    intake.claim()
    body = intake.reader()
    return SpooledReader(body, intake.limits.spool_max_bytes) if spool else body
