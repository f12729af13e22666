"""SameWhenCopied: what stands in a scope, and stays itself when the scope is copied deeply."""

import itertools
import weakref
from typing import Any, Final, Self

# By number: what has been pickled in this process and is still alive.
_pickled: Final[weakref.WeakValueDictionary[int, "SameWhenCopied"]] = weakref.WeakValueDictionary()
_numbers: Final = itertools.count()


class SameWhenCopied:
    """An object of which there is one, however its owner is copied.

    Middleware copies scopes, some deeply (Hypercorn's ProxyFixMiddleware). A copy of an exchange
    would be of no use, and cannot be made: it holds the server's callables. A pickle leads back to
    the object itself while that lives, in the same process; elsewhere it cannot be read.
    """

    __slots__ = ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        number = next(_numbers)
        _pickled[number] = self
        return _found, (number,)


def _found(number: int) -> "SameWhenCopied":
    """The object behind a pickle.

    Raises:
        LookupError: it is gone, or belongs to another process.
    """
    return _pickled[number]
