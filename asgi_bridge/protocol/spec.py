# What an application is told of the server's ASGI.
#
# Rule 1: it is told what the server says, but for one time: while a body is announced and nobody
#         has read it. Starlette looks at the version when its response begins. Where that is below
#         2.4 it listens for the disconnect itself, and the listener takes the messages of a body
#         that the response is yet to read (Starlette 1.10: `StreamingResponse(request.stream())` on
#         uvicorn answers with an empty body). So until the body has been read the version is 2.4,
#         and whoever has looked at it then has the bridge for a listener.
# Rule 2: the last look counts. A middleware may look for reasons of its own, before the body is
#         read.
# Rule 3: a copy of the mapping is a look, too: it goes on to say 2.4.
# Rule 4: all else that a server says stays as it is.
#
# The other way would be to tell the listener's receive() from the reader's by their tasks. It is
# not taken: a listener may have thrown away any number of messages before the reader first asks,
# and in between may be a middleware that counts what passes (Starlette's BaseHTTPMiddleware ends
# the body for both when one of them has met its end).
"""The version of ASGI that an application behind the bridge is told of."""

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from typing import Any, Final

from ..identity import SameWhenCopied

# The first version of the HTTP sub-spec in which send raises after a disconnect.
SPEC_VERSION: Final = "2.4"

# Versions that servers say today; others need a longer look.
_LESS: Final = frozenset(("2.0", "2.1", "2.2", "2.3"))
_ENOUGH: Final = frozenset((SPEC_VERSION, "2.5"))

_KEY: Final = "spec_version"


class AsgiOfUnreadBody(dict[str, Any], SameWhenCopied):
    """A scope's `asgi`, which says 2.4 until the request's body has been read.

    Args:
        own: what the server says; not changed. None where it says nothing.

    Attributes:
        own: as above.
        promised: whether the one who looked last was told of 2.4.
    """

    __slots__ = ("__weakref__", "own", "promised")

    def __init__(self, own: Mapping[str, Any] | None) -> None:
        super().__init__({"version": "3.0", **(own or {}), _KEY: SPEC_VERSION})
        self.own = own
        self.promised = False

    def body_is_read(self) -> None:
        """Say what the server says from now on. Any thread."""
        if self.own is not None and _KEY in self.own:
            self[_KEY] = self.own[_KEY]
        else:
            self.pop(_KEY, None)

    def __getitem__(self, key: str) -> Any:
        if key == _KEY:
            self._look()
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        if key == _KEY:
            self._look()
        return super().get(key, default)

    def __iter__(self) -> Iterator[str]:
        # asked for a copy, too: dict() and ** take the values of what has no __iter__ of its own
        self._look()
        return super().__iter__()

    def values(self) -> ValuesView[Any]:  # type: ignore[override]  # a view of the same kind
        self._look()
        return super().values()

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]  # likewise
        self._look()
        return super().items()

    def copy(self) -> dict[str, Any]:
        return dict(self.items())

    def _look(self) -> None:
        self.promised = super().get(_KEY) == SPEC_VERSION


def own_asgi(asgi: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """What the server itself says, where another bridge may have put its mapping in its place."""
    return asgi.own if isinstance(asgi, AsgiOfUnreadBody) else asgi


def raises_when_gone(asgi: Mapping[str, Any] | None) -> bool:
    """Whether a server promises that its send raises after a disconnect."""
    version = (asgi or {}).get(_KEY, "2.0")
    if version in _LESS:
        return False
    return version in _ENOUGH or _numbers(version) >= _numbers(SPEC_VERSION)


def _numbers(version: str) -> tuple[int, ...]:
    try:
        return tuple(map(int, version.split(".")))
    except ValueError:
        return ()
