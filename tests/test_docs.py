"""What the docs say is so: code runs, defaults agree, links lead somewhere, commands parse."""

import inspect
import re
import shlex
from operator import attrgetter
from pathlib import Path

import pytest

import asgi_bridge
from asgi_bridge import Limits
from asgi_bridge.cli import build_parser

from .prose import PAGES, README, RECIPES, ROOT, blocks, names_by_heading, table_below

BEHAVIOUR, TESTING = (ROOT / "docs" / f"{name}.md" for name in ("behaviour", "testing"))
ALL_PAGES = (README, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *PAGES)


def by_name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def test_defaults_of_limits() -> None:
    quoted = {name: default for name, default, _ in table_below(BEHAVIOUR, "Limits")}
    assert quoted == {name: str(attrgetter(name)(Limits())) for name in quoted}


def test_every_limit_is_in_the_table() -> None:
    quoted = {name.partition(".")[0] for name, *_ in table_below(BEHAVIOUR, "Limits")}
    assert quoted == set(inspect.signature(Limits).parameters)


def test_errors_of_the_reader_table_derive_from_what_it_says() -> None:
    rows = table_below(ROOT / "docs" / "reader.md", "What it raises")
    assert len(rows) == 6
    for name, builtin, _ in rows:
        assert builtin in {each.__name__ for each in getattr(asgi_bridge, name).__mro__}


@pytest.mark.parametrize("page", ALL_PAGES, ids=by_name)
def test_links_lead_to_files(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
    assert [each for each in targets if not (page.parent / each).exists()] == []


def test_readme_lists_every_page() -> None:
    index = README.read_text().partition("## Documentation")[2]
    names = [page.relative_to(ROOT).as_posix() for page in PAGES]
    assert [name for name in names if f"({name})" not in index] == []


@pytest.mark.parametrize("page", ALL_PAGES, ids=by_name)
def test_commands_parse(page: Path) -> None:
    for block in blocks(page):
        for line in block.text.splitlines():
            if line.startswith("asgi-bridge serve ") and "--help" not in line:
                parsed = build_parser().parse_args(shlex.split(line)[1:])
                assert parsed.command == "serve"


# Those of the recipes run in test_recipes: frameworks do not like to meet the same code twice.
@pytest.mark.parametrize("page", [each for each in PAGES if each.parent != RECIPES], ids=by_name)
def test_python_blocks_run(page: Path) -> None:
    names_by_heading(page)


def test_changelog_has_this_version() -> None:
    assert f"\n## {asgi_bridge.__version__} (" in (ROOT / "CHANGELOG.md").read_text()


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("page", ALL_PAGES, ids=by_name)
def test_make_targets_exist(page: Path) -> None:
    assert set(re.findall(r"(?:^|`)make (\w+)", page.read_text(), re.MULTILINE)) <= make_targets()


TESTS = [
    (heading, name)
    for heading, space in names_by_heading(TESTING).items()
    for name in space
    if name.startswith("test_")
]


@pytest.mark.anyio
@pytest.mark.parametrize(("heading", "name"), TESTS, ids=lambda each: str(each))
async def test_example_of_a_test_passes(heading: str, name: str) -> None:
    await names_by_heading(TESTING)[heading][name]()


def test_there_are_examples_of_tests() -> None:
    assert len(TESTS) == 6
