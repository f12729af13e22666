"""What the bridge is yet to cure: checks that may fail, and where. To be emptied."""

from collections.abc import Mapping
from typing import Final

from asgi_bridge.doctor.row import Row

# Check -> what the server or protocol of the rows begins with on which it may fail.
PENDING: Final[Mapping[str, tuple[str, ...]]] = {}


def may_fail(row: Row, check: str) -> bool:
    return row.name.startswith(PENDING.get(check, ()))
