"""What a client is told about a failure that came before the first byte."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ..errors import BridgeError, HTTPError, phrase_of
from ..types import RawHeaders


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


_INTERNAL_ERROR: Final = 500


def refusal_of(error: Exception) -> Refusal:
    """Turn an exception into the response that it stands for.

    An exception stands for a status if it has an integer `status_code` from 400 to 599, such as
    `HTTPError` and Starlette's `HTTPException`; its `detail`, if that is text, becomes the body,
    and its `headers`, if that is a mapping, are added. Anything else is a 500 that says nothing of
    its cause.
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


def _plain(status: int, text: str, extra: Mapping[str, str], *, unexpected: bool) -> Refusal:
    body = text.encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
    ]
    headers += [
        (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in extra.items()
    ]
    return Refusal(status, headers, body, unexpected)
