"""Which suites there are, of which versions, and what they need."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# The one place where versions stand. A new one may have other tests: run `make suites`, see to the
# differences, then mend the list.
STARLETTE: Final = "1.10.0"
FASTAPI: Final = "0.165.0"


@dataclass(frozen=True)
class Suite:
    """One framework's own tests.

    Attributes:
        name: the framework's, and that of its list of differences.
        version: whose source archive is taken.
        installed: requirements beside the group.
        group: the dependency group in the archive's pyproject.toml that its tests need.
    """

    name: str
    version: str
    installed: tuple[str, ...]
    group: str

    @property
    def folder(self) -> str:
        """What the archive unpacks to."""
        return f"{self.name}-{self.version}"


SUITES: Final[Mapping[str, Suite]] = {
    each.name: each
    for each in (
        Suite("starlette", STARLETTE, (f"starlette[full]=={STARLETTE}", "pytest-xdist"), "dev"),
        Suite("fastapi", FASTAPI, (f"fastapi[all]=={FASTAPI}", f"starlette=={STARLETTE}"), "tests"),
    )
}
