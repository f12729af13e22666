"""How a process that serves comes to its end: in time, whatever runs in it.

After SIGINT or SIGTERM running requests have the graceful timeout. Then the bridge lets go whoever
waits in it (crossing/shutdown.py), and CANCEL_GRACE later the server cancels what is left. What
stops for none of these, a handler that is busy with itself on a framework's own thread or a server
that waits for a client which reads nothing, ends with the process, by force.
"""

import os
import threading
import time
from collections.abc import Callable
from typing import Final

from ..crossing.here import current_portal
from ..crossing.waiters import ThreadWaiter
from ..errors import ServerShutdown
from ..exchange.lifespan import through_lifespan
from ..limits import Limits
from ..types import ASGIApp, Receive, Scope, Send
from .errors import tell

# Seconds that the ends of exchanges have before the server cancels them, each with a traceback.
CANCEL_GRACE: Final = 1

# Seconds beyond the graceful timeout after which a process is ended by force. An exchange waits 5 s
# for a worker that is stuck (`Limits.abandon_timeout`), and then its pool as long.
FORCE_GRACE: Final = 12


class Graceful:
    """The outermost application of a process that serves.

    Args:
        app: all the others.
        seconds: the graceful timeout, which goes before any `Limits.shutdown_timeout`.
        end_process: called with an exit code when all else has failed.
    """

    def __init__(
        self, app: ASGIApp, seconds: float, *, end_process: Callable[[int], object] = os._exit
    ) -> None:
        self._app = app
        self._seconds = seconds
        self._end_process = end_process

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope."""
        if scope["type"] == "lifespan":
            shutdown = current_portal().shutdown
            shutdown.timeout = self._seconds
            shutdown.alarm = self._watch_over_the_end()
            await through_lifespan(self._app, scope, receive, send, Limits())
            return
        try:
            await self._app(scope, receive, send)
        except ServerShutdown:
            # It is in the log. Nobody stands between us and the server, which cuts a response that
            # was left unfinished; an exception would be logged with its traceback on top.
            pass

    def _watch_over_the_end(self) -> Callable[[], None]:
        """Have the process ended some time after what is returned has been called."""
        told = ThreadWaiter()
        threading.Thread(
            target=self._force, args=(told,), name="asgi-bridge-end", daemon=True
        ).start()
        return told.wake

    def _force(self, told: ThreadWaiter) -> None:
        told.wait(None)  # woken by the alarm; else the thread ends with the process
        seconds = self._seconds + FORCE_GRACE
        time.sleep(seconds)
        tell(f"still busy {seconds:.0f} s after the signal to end; ended by force")
        self._end_process(0)
