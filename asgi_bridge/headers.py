"""Headers as a handler sees them: text, without regard to case, over ASGI's lists of byte pairs."""

import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import NamedTuple

from .errors import ResponseStarted
from .types import RawHeaders

# RFC 9110, 5.1: a name is a token. 5.5: a value has no CR, LF or NUL; one that had would let its
# author write headers, or a second response, of his own.
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_BAD_VALUE = re.compile(r"[\r\n\0]")
# RFC 9110, 8.6. What is no number would leave the client to guess where the body ends.
_LENGTH = re.compile(r"[0-9]{1,18}")


class RequestHeaders(Mapping[str, str]):
    """The request's headers, read-only.

    Args:
        raw: a scope's list of (name, value) byte pairs; never changed.

    A header that came more than once answers with its values joined by `, ` (RFC 9110, 5.3);
    `get_all` has them apart.
    """

    __slots__ = ("_raw",)

    def __init__(self, raw: Iterable[tuple[bytes, bytes]]) -> None:
        self._raw = tuple(raw)

    def get_all(self, name: str) -> list[str]:
        """Every value of a header, in the order they came."""
        # lowered as bytes, in ASCII alone: a byte above it is not a letter of a header's name
        key = name.encode("latin-1", "replace").lower()
        return [value.decode("latin-1") for k, value in self._raw if k.lower() == key]

    def __getitem__(self, name: str) -> str:
        values = self.get_all(name)
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name.lower().decode("latin-1") for name, _ in self._raw))

    def __len__(self) -> int:
        return len({name.lower() for name, _ in self._raw})

    def __repr__(self) -> str:
        return f"RequestHeaders({dict(self)!r})"


class ResponseHeaders(MutableMapping[str, str]):
    """A response's headers, to be set until its first byte is handed over.

    Setting replaces every value of that name; `add` keeps them, as `set-cookie` needs it.

    Raises:
        ValueError: a name is no token, or a value has a line break or NUL in it.
        ResponseStarted: the first byte has been handed over.
    """

    __slots__ = ("_frozen", "_items")

    def __init__(self) -> None:
        self._items: dict[str, list[str]] = {}
        self._frozen = False

    def add(self, name: str, value: str) -> None:
        """Add a value beside those that the header has."""
        key = self._checked(name, value)
        values = self._items.setdefault(key, [])
        if values and key == "content-length":
            raise ValueError("a response has one content-length")
        values.append(value)

    def get_all(self, name: str) -> list[str]:
        """Every value of a header, in the order they were added."""
        return list(self._items.get(name.lower(), ()))

    @property
    def length(self) -> int | None:
        """The declared content-length in bytes, None where there is none."""
        values = self._items.get("content-length")
        return None if values is None else int(values[0])

    def set_length(self, size: int) -> int:
        """Declare the body's length in bytes, unless that is declared; what is declared now."""
        return int(self._items.setdefault("content-length", [str(size)])[0])

    def freeze(self) -> None:
        """Allow no more changes."""
        self._frozen = True

    def raw(self) -> RawHeaders:
        """The headers as ASGI wants them, in the order of their names."""
        if not self._items:
            return []
        return [
            (name.encode("ascii"), value.encode("latin-1"))
            for name, values in self._items.items()
            for value in values
        ]

    def __setitem__(self, name: str, value: str) -> None:
        self._items[self._checked(name, value)] = [value]

    def __getitem__(self, name: str) -> str:
        return ", ".join(self._items[name.lower()])

    def __delitem__(self, name: str) -> None:
        self._check_open()
        del self._items[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return f"ResponseHeaders({dict(self)!r})"

    def _check_open(self) -> None:
        if self._frozen:
            raise ResponseStarted("headers can be set until the first byte is handed over")

    def _checked(self, name: str, value: str) -> str:
        self._check_open()
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a header name")
        # As most are, which is asked in no time; by its class, since a number is a TypeError.
        if not (str.isascii(value) and value.isprintable()):
            if _BAD_VALUE.search(value):
                raise ValueError(f"the value of {name!r} has a line break or NUL in it")
            value.encode("latin-1")  # UnicodeEncodeError is a ValueError, raised where it was set
        key = name.lower()
        if key == "content-length" and not _LENGTH.fullmatch(value):
            raise ValueError(f"{value!r} is not a content-length")
        return key


class Head(NamedTuple):
    """A response's status and headers, fixed.

    Attributes:
        status: the status code.
        headers: the list that goes into `http.response.start`.
        declared: the handler's own content-length in bytes, None where it set none.
        bodiless: whether HTTP allows this response no body (RFC 9110, 6.4.1).
    """

    status: int
    headers: RawHeaders
    declared: int | None
    bodiless: bool

    @classmethod
    def of(cls, status: int, headers: ResponseHeaders, method: str) -> "Head":
        """As they are now, in answer to a request of this method."""
        raw = headers.raw()
        declared = headers.length if raw else None
        return cls(status, raw, declared, method == "HEAD" or status in (204, 304))
