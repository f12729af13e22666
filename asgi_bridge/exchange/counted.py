"""What an exchange came to, told to whoever asked for it."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from ..crossing.portal import Portal
from ..errors import ServerShutdown
from ..limits import Limits
from ..stats import ExchangeStats, Outcome
from ..types import Message, Receive, Scope, Send
from .of_application import AppExchange

logger: Final = logging.getLogger("asgi_bridge")

OnExchangeEnd: TypeAlias = Callable[[ExchangeStats], None]


class CountedExchange(AppExchange):
    """An exchange that tells what it came to.

    Args:
        on_end: who is told, at the end.

    The rest as `AppExchange`.
    """

    __slots__ = ("_began", "_on_end", "_raised", "_tally")

    def __init__(
        self,
        on_end: OnExchangeEnd,
        scope: Scope,
        receive: Receive,
        send: Send,
        limits: Limits,
        portal: Portal,
        *,
        raises: bool = False,
    ) -> None:
        self._on_end = on_end
        self._began = time.perf_counter()
        self._tally = tally = Tally(send)
        self._raised: Outcome | None = None
        super().__init__(scope, receive, tally.send, limits, portal, raises=raises)

    async def fail(self, error: BaseException) -> bool:
        """As `AppExchange.fail`."""
        self._raised = _outcome_of(error)
        try:
            ends_here = await super().fail(error)
        except BaseException as cut:
            self._raised = _outcome_of(cut)
            raise
        finally:
            del error  # it holds this frame
        if ends_here:
            self._raised = None
        return ends_here

    def leave(self) -> Awaitable[None]:
        """As `AppExchange.leave`; there is always something to be awaited."""
        return self._tell(self._raised or self.outcome, super().leave())

    async def _tell(self, outcome: Outcome, closing: Awaitable[None] | None) -> None:
        try:
            if closing is not None:
                await closing
        except BaseException as error:
            outcome = _outcome_of(error)
            raise
        finally:
            stats = ExchangeStats(
                method=self._scope["method"],
                path=self._scope["path"],
                status=self._tally.status,
                received_bytes=self.intake.body.received,
                sent_bytes=self._tally.sent_bytes,
                duration=time.perf_counter() - self._began,
                outcome=outcome,
            )
            try:
                self._on_end(stats)
            except Exception:
                logger.exception("on_exchange_end failed for %s %s", stats.method, stats.path)


class Tally:
    """What has gone to the server.

    Attributes:
        status: of the response, None before its start.
        sent_bytes: of its body.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int | None = None
        self.sent_bytes = 0

    async def send(self, message: Message) -> None:
        await self._send(message)
        if message["type"] == "http.response.start":
            self.status = message["status"]
        self.sent_bytes += len(message.get("body", b""))


def _outcome_of(error: BaseException) -> Outcome:
    if isinstance(error, ServerShutdown):
        return Outcome.SHUT_DOWN
    return Outcome.FAILED if isinstance(error, Exception) else Outcome.CANCELLED
