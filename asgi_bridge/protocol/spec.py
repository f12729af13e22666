# What an application is told of the server's ASGI.
#
# Rule 1: frameworks that are told of less than version 2.4 of the HTTP sub-spec listen for the
#         disconnect themselves, and steal the body. We keep its promise for every server.
# Rule 2: all else that a server says stays as it is.
"""uplifted: the version of ASGI that an application behind the bridge may count on."""

from collections.abc import Mapping
from typing import Any, Final

# The first version of the HTTP sub-spec in which send raises after a disconnect.
SPEC_VERSION: Final = "2.4"

# Versions that need no uplift; later ones need none either, but a longer look.
ENOUGH: Final = frozenset((SPEC_VERSION, "2.5"))

# What servers of today say instead.
_LESS: Final = frozenset(("2.0", "2.1", "2.2", "2.3"))


def uplifted(asgi: Mapping[str, Any]) -> dict[str, Any]:
    """A scope's `asgi`, with at least `SPEC_VERSION`; what is no version counts as less."""
    told = dict(asgi)
    if "version" not in told:
        told["version"] = "3.0"
    version = told.get("spec_version", "2.0")
    if version in _LESS or _numbers(version) < _numbers(SPEC_VERSION):
        told["spec_version"] = SPEC_VERSION
    return told


def _numbers(version: str) -> tuple[int, ...]:
    try:
        return tuple(map(int, version.split(".")))
    except ValueError:
        return ()
