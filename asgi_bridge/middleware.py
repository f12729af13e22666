"""BridgeMiddleware: the bridge around an application."""

from collections.abc import Callable
from functools import partial
from typing import Any

from .crossing.allocator import keep_freed_memory
from .crossing.here import current_portal
from .exchange import AppExchange
from .exchange.counted import CountedExchange, OnExchangeEnd
from .exchange.forgetful import forgets_streams, on_forgetful
from .exchange.lifespan import through_lifespan
from .intake import SCOPE_KEY
from .limits import Limits
from .single import single_callable
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
        raise_on_disconnect: promise the application what ASGI 2.4 does: `send` raises
            `ClientDisconnected`, an OSError, once the client is known to be gone, in whatever task.
            It is told of 2.4 then, and frameworks do not listen for the disconnect themselves.

    An application sees what it would see without the bridge, but for what docs/behaviour.md lists.

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
        raise_on_disconnect: bool = False,
    ) -> None:
        self.app: ASGIApp = single_callable(app)
        self._limits = Limits() if limits is None else limits
        self._exchange: Callable[..., AppExchange] = (
            AppExchange if on_exchange_end is None else partial(CountedExchange, on_exchange_end)
        )
        self._withhold = withhold
        self._raises = raise_on_disconnect
        keep_freed_memory()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Serve one scope; what the application returns is passed on."""
        app: Any = self.app
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                return await through_lifespan(app, scope, receive, send, self._limits)
            return await app(scope, receive, send)
        if "extensions" in scope and forgets_streams(scope):
            return await on_forgetful(self, scope, receive, send, self._limits)
        if SCOPE_KEY in scope:
            outer = scope[SCOPE_KEY]
            if isinstance(outer, AppExchange) and outer.reuses(receive):
                if self._raises:
                    outer.ask_to_raise()
                if self._withhold is not None and self._withhold(scope):
                    outer.intake.withhold()
                return await app(scope, receive, send)
        exchange = self._exchange(
            scope, receive, send, self._limits, current_portal(), raises=self._raises
        )
        if self._withhold is not None and self._withhold(scope):
            exchange.intake.withhold()
        try:
            returned = await exchange.call(app)
            if not exchange.sent:
                await exchange.finish()
            return returned
        except BaseException as error:
            if not await exchange.fail(error):
                raise
            return None
        finally:
            closing = exchange.leave()
            if closing is not None:
                await closing
