"""What README and docs say, in a form that tests can check."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
README: Final = ROOT / "README.md"
RECIPES: Final = ROOT / "docs" / "recipes"
PAGES: Final = tuple(sorted((ROOT / "docs").rglob("*.md")))

_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    Attributes:
        page: the file that it is in.
        heading: the nearest heading above it.
        line: the number of its first line.
        language: what the fence says, empty for nothing.
        text: what is between the fences.
    """

    page: Path
    heading: str
    line: int
    language: str
    text: str

    def compiled(self) -> CodeType:
        """Its code, with line numbers as in the file."""
        return compile("\n" * (self.line - 1) + self.text, self.page, "exec")


def blocks(page: Path) -> Iterator[Block]:
    """Every fenced block of a page, in order."""
    text = page.read_text()
    fences = list(_FENCE.finditer(text))
    inside = [range(*fence.span()) for fence in fences]
    headings = [
        each for each in _HEADING.finditer(text) if not any(each.start() in span for span in inside)
    ]
    for fence in fences:
        heading = [each[1] for each in headings if each.start() < fence.start()][-1]
        line = text.count("\n", 0, fence.start(2)) + 1
        yield Block(page, heading, line, fence[1], fence[2])


def names_by_heading(page: Path) -> Mapping[str, Mapping[str, Any]]:
    """Run the Python blocks of a page; what is below one heading shares its names."""
    spaces: dict[str, dict[str, Any]] = {}
    for block in blocks(page):
        if block.language == "python":
            space = spaces.setdefault(block.heading, {"__name__": page.stem})
            exec(block.compiled(), space)
    return spaces


def table_below(page: Path, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head; backquotes taken off."""
    text = page.read_text().partition(f"# {heading}\n")[2]
    rows = [line for line in text.split("\n#")[0].splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in rows[2:]]
