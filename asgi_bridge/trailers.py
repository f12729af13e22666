# What follows a body: header fields that could not be known before it.
#
# Rule 1: they are sent only where the server offers them (the ASGI extension HTTP Trailers) and the
#         client takes them (RFC 9110, 6.5.1: `te: trailers`); some servers drop them otherwise, and
#         then a digest would be counted for nothing.
# Rule 2: a server that was promised trailers waits for them. So where they were announced, they are
#         sent after a clean end, even if there are none, and never after anything else.
# Rule 3: a body that is known as a whole has its digest in the header, where everyone reads it.
"""Trailers and digests of a response."""

import base64
import hashlib
from collections.abc import Mapping
from typing import Final

from .headers import ResponseHeaders
from .types import Scope

# The algorithms that RFC 9530, 5, does not warn against, and what hashlib calls them.
ALGORITHMS: Final[Mapping[str, str]] = {"sha-256": "sha256", "sha-512": "sha512"}

# What a recipient has to know before the body, or what nobody may say after it (RFC 9110, 6.5.1).
_NOT_AFTER: Final = frozenset(
    {
        "authorization",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "host",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
    }
)


class Trailers(ResponseHeaders):
    """Fields to be sent after the body; to be set until the handler is done.

    Raises:
        ValueError: as for headers; and a field that has no meaning after the body.
    """

    __slots__ = ()

    def _checked(self, name: str, value: str) -> str:
        key = super()._checked(name, value)
        if key in _NOT_AFTER:
            raise ValueError(f"{name!r} is of no use after the body")
        return key


class Digest:
    """The digest of what a response's content has come to.

    Args:
        algorithm: one of `ALGORITHMS`.

    Raises:
        ValueError: it is none of them.

    Threads: `update` on the handler's; `field` once that is done.
    """

    __slots__ = ("_algorithm", "_hash", "update")

    def __init__(self, algorithm: str) -> None:
        self._algorithm = algorithm
        self._hash = hashlib.new(checked_algorithm(algorithm), usedforsecurity=False)
        self.update = self._hash.update

    def field(self) -> tuple[bytes, bytes]:
        """Name and value of the field (RFC 9530, 2)."""
        digest = base64.b64encode(self._hash.digest())
        return b"content-digest", b"%s=:%s:" % (self._algorithm.encode(), digest)


def checked_algorithm(algorithm: str) -> str:
    """What hashlib calls an algorithm.

    Raises:
        ValueError: it is none of `ALGORITHMS`.
    """
    if algorithm not in ALGORITHMS:
        raise ValueError(f"a digest is one of {', '.join(ALGORITHMS)}, not {algorithm!r}")
    return ALGORITHMS[algorithm]


def takes_trailers(scope: Scope) -> bool:
    """Whether the server offers trailers, and the client has said that it takes them."""
    if "http.response.trailers" not in (scope.get("extensions") or ()):
        return False
    return any(
        name == b"te" and b"trailers" in map(bytes.strip, value.lower().split(b","))
        for name, value in scope["headers"]
    )
