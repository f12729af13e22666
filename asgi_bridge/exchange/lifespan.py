"""A lifespan, in which the bridge listens for the end of its server."""

from typing import Any

from ..crossing.here import current_portal
from ..limits import Limits
from ..types import ASGIApp, Message, Receive, Scope, Send


async def through_lifespan(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send, limits: Limits
) -> Any:
    """Call an application with a lifespan.

    From here to `lifespan.shutdown` the bridge hears of the signals that the server listens for,
    unless `Limits.shutdown_timeout` is None. An application that knows no lifespan ends at once;
    the server goes on to serve, and the bridge to hear.
    """
    shutdown = current_portal().shutdown
    shutdown.open(listen=limits.shutdown_timeout is not None)

    async def noted() -> Message:
        message = await receive()
        if message["type"] == "lifespan.shutdown":
            shutdown.close()
        return message

    called: Any = app
    return await called(scope, noted, send)
