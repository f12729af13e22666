"""Failures as AIStore expects them: a status, and JSON with a detail."""

import json
import sys
from collections.abc import Mapping
from typing import Final

from asgi_bridge import BridgeError, ClientDisconnected, ExchangeOver, HTTPError

from .pipeline import InvalidPipelineError

RETRY_REASON: Final = "ais-etl-retry-reason"
TRANSIENT: Final = "direct-put-transient"

# HTTP clients that a transform may use, and the classes of their failures: an answer with the
# status of an error, and all others. Looked up where the transform has imported them.
_CLIENTS: Final = (
    ("requests", "HTTPError", "RequestException"),
    ("httpx", "HTTPStatusError", "RequestError"),
)
# Headers that are the server's to set, whatever an exception says.
_FRAMING: Final = frozenset({"content-length", "transfer-encoding", "connection", "content-type"})


class Refused(HTTPError):
    """A status with a JSON body, `{"detail": ...}`.

    Attributes:
        reason: the detail as text, for the log.
        told: whether the log has it.
    """

    told = False

    def __init__(
        self, status: int, detail: object, headers: Mapping[str, str] | None = None
    ) -> None:
        text = json.dumps(
            {"detail": detail}, default=str, ensure_ascii=False, separators=(",", ":")
        )
        super().__init__(status, text, {**(headers or {}), "content-type": "application/json"})
        self.reason = str(detail)


class UpstreamBroken(Exception):
    """The object could not be read from its target to the end; the network's fault."""


class HopBroken(Exception):
    """The next hop could not be reached, or the connection to it broke."""


def refused_for(error: BaseException) -> Exception:
    """What to answer for a failure of a transform, or of its source.

    An exception with an integer `status_code` of an error keeps it, with its `detail` and its
    `headers`. What `requests` or `httpx` raise in a transform is a failure of the network, or has
    the status that the other side gave; as in AIStore's own server.
    """
    if isinstance(error, Refused | ClientDisconnected | ExchangeOver):
        return error
    if isinstance(error, UpstreamBroken):
        return Refused(502, f"Network error: {error}")
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and 400 <= status <= 599:
        plain = isinstance(error, BridgeError | InvalidPipelineError)
        own = str(error) if plain and not isinstance(error, HTTPError) else None
        detail = getattr(error, "detail", str(error)) if own is None else own
        return Refused(status, detail, headers_of(error))
    return client_failure(error) or Refused(500, f"Processing error: {error}")


def headers_of(error: BaseException) -> dict[str, str]:
    """The headers that an exception wants in its answer, as FastAPI's HTTPException has them."""
    headers = getattr(error, "headers", None)
    if not isinstance(headers, Mapping):
        return {}
    return {str(k): str(v) for k, v in headers.items() if str(k).lower() not in _FRAMING}


def client_failure(error: BaseException) -> Refused | None:
    """The answer for a failure of an HTTP client that the transform uses; None if it is none."""
    for name, of_status, of_network in _CLIENTS:
        module = sys.modules.get(name)
        if isinstance(error, getattr(module, of_status, ())):
            status = getattr(getattr(error, "response", None), "status_code", 502)
            return Refused(status if 400 <= status <= 599 else 502, "Target request failed")
        if isinstance(error, getattr(module, of_network, ())):
            return Refused(502, f"Network error: {error}")
    return None


def file_missing(path: str, fqn: str) -> Refused:
    """The answer for a request that names a file that is not there."""
    return Refused(404, f"Error processing object {path!r}: file not found at {fqn!r}.")
