"""A scripted HTTP exchange in memory: tests for streaming ASGI apps, without a server.

Any ASGI app, on asyncio and trio. A whole script in and the whole answer out:

    exchange = Exchange(app, receive=[request(b"ab", more_body=True), request(b"c")])
    assert await exchange.run() == [start(200), body(b"ABC")]

or step by step, full duplex:

    async with Exchange(app, path="/upper", timeout=1) as exchange:
        await exchange.send_chunk(b"aa")
        assert await exchange.expect_chunk() == b"AA"
        await exchange.end_body()
        await exchange.expect_end()
"""

from .exchange import Exchange as Exchange
from .messages import DISCONNECT as DISCONNECT
from .messages import ScopeOptions as ScopeOptions
from .messages import Scripted as Scripted
from .messages import body as body
from .messages import request as request
from .messages import scope_for as scope_for
from .messages import start as start
from .task import AppState as AppState
from .task import Outcome as Outcome

__all__ = (
    "DISCONNECT",
    "AppState",
    "Exchange",
    "Outcome",
    "ScopeOptions",
    "Scripted",
    "body",
    "request",
    "scope_for",
    "start",
)
