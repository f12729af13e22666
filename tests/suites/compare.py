"""Compare two runs of one suite, test by test, with the list of the tests that may differ."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from xml.etree import ElementTree

Outcomes = Mapping[str, str]


def outcomes_of(report: Path) -> dict[str, str]:
    """The outcome of each test in a JUnit report of the family xunit1, by its id."""
    outcomes: dict[str, str] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = {child.tag for child in case} & {"failure", "error", "skipped"}
        outcome = min(kinds, default="passed")
        name = id_of(case.get("file", ""), case.get("classname", ""), case.get("name", ""))
        if outcomes.get(name, "passed") == "passed":  # an error of its teardown is a second case
            outcomes[name] = outcome
    return outcomes


def id_of(file: str, classname: str, name: str) -> str:
    """A test's id as pytest's command line takes it."""
    module = file.removesuffix(".py").replace("/", ".")
    classes = classname.removeprefix(module).strip(".")
    return "::".join([file, *filter(None, classes.split(".")), name])


def listed_in(text: str) -> set[str]:
    """The ids in a list: the first word of each line that is no comment."""
    lines = (line.split("  ", 1)[0].strip() for line in text.splitlines())
    return {line for line in lines if line and not line.startswith("#")}


def complaints(without: Outcomes, behind: Outcomes, listed: Iterable[str]) -> list[str]:
    """What differs and is not listed, and what is listed and does not differ.

    An id without parameters stands for the test with any.
    """
    needless, found = set(listed), []
    listed = frozenset(needless)
    for name in sorted(without.keys() | behind.keys()):
        before, after = without.get(name, "missing"), behind.get(name, "missing")
        if before == after:
            continue
        names = {name, name.partition("[")[0]}
        needless -= names
        if listed.isdisjoint(names):
            found.append(f"{name}: {before} without the bridge, {after} behind it")
    return found + [f"{name}: listed, but nothing differs" for name in sorted(needless)]
