"""What the bridge is yet to cure: checks that may fail, and where. To be emptied."""

from collections.abc import Mapping
from typing import Final

from asgi_bridge.doctor.rows import Row

# Check -> what the server or protocol of the rows begins with on which it may fail.
PENDING: Final[Mapping[str, tuple[str, ...]]] = {
    # An upload that nobody has begun to read is not drained before the answer's end.
    "early-answer-unread": ("hypercorn", "granian-h1", "gunicorn-asgi"),
    # BridgeMiddleware does not compare the body with its content-length.
    "body-too-short": ("granian-h1", "daphne"),
    "body-too-long": ("granian-h1", "daphne"),
    # Its send does not let the loop turn, and these servers' do not either.
    "others-run": ("uvicorn", "hypercorn", "daphne", "gunicorn"),
    # Hypercorn's own 500 has a header that HTTP/3 forbids.
    "raises-before-start": ("hypercorn-h3",),
    "raises-before-body": ("hypercorn-h3",),
    # A short last message would tell the client, where nothing else ends the stream.
    "raises-midway-length": ("hypercorn-h2", "hypercorn-h3"),
}


def may_fail(row: Row, check: str) -> bool:
    return row.name.startswith(PENDING.get(check, ()))
