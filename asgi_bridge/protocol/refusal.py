"""What a client is told about a failure that came before the first byte."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from ..errors import BridgeError, HTTPError, phrase_of
from ..headers import ResponseHeaders
from ..types import Message, RawHeaders


@dataclass(frozen=True, slots=True)
class Refusal:
    """A failure as a response.

    Attributes:
        unexpected: nobody meant this failure to be a response, so it belongs in the server's log.
    """

    status: int
    headers: RawHeaders
    body: bytes
    unexpected: bool

    @property
    def start(self) -> Message:
        """The message that begins it."""
        return {"type": "http.response.start", "status": self.status, "headers": self.headers}


_INTERNAL_ERROR: Final = 500


def refusal_of(error: Exception) -> Refusal:
    """Turn an exception into the response that it stands for.

    An exception stands for a status if it has an integer `status_code` from 400 to 599, such as
    `HTTPError` and Starlette's `HTTPException`; its `detail`, if that is text, becomes the body,
    and its `headers`, if that is a mapping, are added, but for what no header can hold. Anything
    else is a 500 that says nothing of its cause.
    """
    status = getattr(error, "status_code", None)
    if not isinstance(status, int) or not 400 <= status <= 599:
        return _plain(_INTERNAL_ERROR, phrase_of(_INTERNAL_ERROR), {}, unexpected=True)
    detail = getattr(error, "detail", None)
    headers = getattr(error, "headers", None)
    ours = isinstance(error, BridgeError) and not isinstance(error, HTTPError)
    return _plain(
        status,
        detail if isinstance(detail, str) and not ours else phrase_of(status),
        headers if isinstance(headers, Mapping) else {},
        unexpected=False,
    )


def _plain(status: int, text: str, extra: Mapping[Any, Any], *, unexpected: bool) -> Refusal:
    body = text.encode(errors="replace")
    headers = ResponseHeaders()
    length = str(len(body))
    headers.update({"content-type": "text/plain; charset=utf-8", "content-length": length})
    for name, value in extra.items():
        with suppress(TypeError, ValueError):  # an odd header must not hide the status
            headers[name] = value
    headers["content-length"] = length  # again: the exception's was not this body's
    return Refusal(status, headers.raw(), body, unexpected)
