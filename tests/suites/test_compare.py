from pathlib import Path

import pytest

from .compare import complaints, id_of, listed_in, outcomes_of

REPORT = """<testsuites><testsuite>
<testcase classname="tests.test_a" name="test_b" file="tests/test_a.py"/>
<testcase classname="tests.test_a.TestC" name="test_d[1]" file="tests/test_a.py"><failure/>
</testcase>
<testcase classname="tests.test_a" name="test_e" file="tests/test_a.py"/>
<testcase classname="tests.test_a" name="test_e" file="tests/test_a.py"><error/></testcase>
</testsuite></testsuites>"""


def test_outcomes_of_a_report(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    assert outcomes_of(report) == {
        "tests/test_a.py::test_b": "passed",
        "tests/test_a.py::TestC::test_d[1]": "failure",
        "tests/test_a.py::test_e": "error",
    }


def test_id_without_class() -> None:
    assert id_of("tests/test_a.py", "tests.test_a", "test_b") == "tests/test_a.py::test_b"


def test_list_has_ids_reasons_and_comments() -> None:
    assert listed_in("# why\na.py::b  because\n\na.py::c[x y]  of it\n") == {
        "a.py::b",
        "a.py::c[x y]",
    }


@pytest.mark.parametrize(
    ("behind", "listed", "expected"),
    [
        ({"a[1]": "passed"}, [], []),
        ({"a[1]": "failure"}, ["a"], []),
        ({"a[1]": "failure"}, ["a[1]"], []),
        ({"a[1]": "failure"}, [], ["a[1]: passed without the bridge, failure behind it"]),
        ({}, [], ["a[1]: passed without the bridge, missing behind it"]),
        ({"a[1]": "passed"}, ["a"], ["a: listed, but nothing differs"]),
    ],
)
def test_complaints(behind: dict[str, str], listed: list[str], expected: list[str]) -> None:
    assert complaints({"a[1]": "passed"}, behind, listed) == expected
