"""current_portal: the portal of whichever loop runs on this thread."""

import asyncio
import sys
import threading

from .asyncio_portal import AsyncioPortal
from .portal import Portal


class _Here(threading.local):
    portal: AsyncioPortal | None = None


_here = _Here()


def current_portal() -> Portal:
    """The portal of the loop that is running on this thread.

    Raises:
        RuntimeError: no event loop runs here.
    """
    # Trio first: in its guest mode an asyncio loop runs on the same thread below it.
    if "trio" in sys.modules:
        from .trio_portal import running_trio_portal

        trio_portal = running_trio_portal()
        if trio_portal is not None:
            return trio_portal
    loop = asyncio.get_running_loop()
    portal = _here.portal
    if portal is None or portal.loop is not loop:
        portal = _here.portal = AsyncioPortal(loop)
    return portal
