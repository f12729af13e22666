"""Failures as AIStore expects them: a status, and JSON with a detail."""

import json
from collections.abc import Mapping

from asgi_bridge import BridgeError, ClientDisconnected, ExchangeOver, HTTPError

from .pipeline import InvalidPipelineError

RETRY_REASON = "ais-etl-retry-reason"
TRANSIENT = "direct-put-transient"


class Refused(HTTPError):
    """A status with a JSON body, `{"detail": ...}`."""

    def __init__(
        self, status: int, detail: object, headers: Mapping[str, str] | None = None
    ) -> None:
        text = json.dumps(
            {"detail": detail}, default=str, ensure_ascii=False, separators=(",", ":")
        )
        super().__init__(status, text, {**(headers or {}), "content-type": "application/json"})


class UpstreamBroken(Exception):
    """The object could not be read from its target to the end; the network's fault."""


class HopBroken(Exception):
    """The next hop could not be reached, or the connection to it broke."""


def refused_for(error: BaseException) -> Exception:
    """What to answer for a failure of a transform, or of its source.

    An exception with an integer `status_code` of an error keeps it, with its `detail`.
    """
    if isinstance(error, Refused | ClientDisconnected | ExchangeOver):
        return error
    if isinstance(error, UpstreamBroken):
        return Refused(502, f"Network error: {error}")
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and 400 <= status <= 599:
        plain = isinstance(error, BridgeError | InvalidPipelineError)
        own = str(error) if plain and not isinstance(error, HTTPError) else None
        return Refused(status, getattr(error, "detail", str(error)) if own is None else own)
    return Refused(500, f"Processing error: {error}")


def file_missing(path: str, fqn: str) -> Refused:
    """The answer for a request that names a file that is not there."""
    return Refused(404, f"Error processing object {path!r}: file not found at {fqn!r}.")
