"""What an exchange came to, told to whoever asked for it."""

import logging
import time
from collections.abc import Callable
from typing import Final, TypeAlias

from ..errors import ServerShutdown
from ..stats import ExchangeStats, Outcome
from ..types import ASGIApp, Message, Scope
from .of_application import AppExchange

logger: Final = logging.getLogger("asgi_bridge")

OnExchangeEnd: TypeAlias = Callable[[ExchangeStats], None]


async def run_counted(
    exchange: AppExchange, app: ASGIApp, scope: Scope, on_end: OnExchangeEnd
) -> None:
    """Run an exchange, then tell `on_end` what it came to."""
    began = time.perf_counter()
    sent_bytes = 0
    status: int | None = None
    send = exchange.send_to

    async def counted(message: Message) -> None:
        nonlocal sent_bytes, status
        await send(message)
        if message["type"] == "http.response.start":
            status = message["status"]
        sent_bytes += len(message.get("body", b""))

    exchange.send_to = counted
    outcome = Outcome.CANCELLED
    try:
        outcome = await exchange.run(app)
    except ServerShutdown:
        outcome = Outcome.SHUT_DOWN
        raise
    except Exception:
        outcome = Outcome.FAILED
        raise
    finally:
        stats = ExchangeStats(
            method=scope["method"],
            path=scope["path"],
            status=status,
            received_bytes=exchange.intake.body.received,
            sent_bytes=sent_bytes,
            duration=time.perf_counter() - began,
            outcome=outcome,
        )
        try:
            on_end(stats)
        except Exception:
            logger.exception("on_exchange_end failed for %s %s", stats.method, stats.path)
