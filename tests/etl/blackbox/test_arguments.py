"""What comes in the query: contract 1.2, and the files of 2's table of names."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest

from asgi_bridge.etl.testing import Answer, FakeTarget

from .pods import Pod

# The query on the wire, and what the transform gets; all of it is report's, in its first word.
ARGUMENTS: Final[Mapping[str, str]] = {
    "do:report": "do:report",
    "do:report:a+b": "do:report:a b",
    "do:report:a%20b": "do:report:a b",
    "do:report:a%2Bb": "do:report:a+b",
    "do:report:%C3%A9": "do:report:é",
    "do:report:100%2525": "do:report:100%25",
    "+do:report++": "do:report",
    "do:report:a%26b%3Dc": "do:report:a&b=c",
    "do:report:%7B%22a%22%3A%22b+c%22%7D": 'do:report:{"a":"b c"}',
}
# Names of files, after the query has been decoded; all lead to the same one.
PREFIXES: Final = ("", "/", "//")


def put(pod: Pod, query: str, body: bytes = b"abc") -> Answer:
    return pod.ais.request("PUT", f"/b/o?{query}", [("content-length", str(len(body)))], body)


def facts(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer
    decoded: dict[str, Any] = json.loads(answer.body)
    return decoded


@pytest.mark.parametrize(("wire", "args"), ARGUMENTS.items())
def test_etl_args(pod: Pod, wire: str, args: str) -> None:
    assert facts(put(pod, f"etl_args={wire}"))["args"] == args


@pytest.mark.parametrize(
    "query", ["", "etl_args=", "etl_args=+", "other=x", "etl_args=do:report&etl_args="]
)
def test_no_etl_args(pod: Pod, query: str) -> None:
    assert put(pod, query).body == b"ABC"


def test_long_etl_args(pod: Pod) -> None:
    """8 KiB of arguments: gunicorn answers 414."""
    args = "do:report:" + "a" * 8192
    assert facts(put(pod, f"etl_args={args}"))["args"] == args


def test_etl_args_of_a_pull(pod: Pod, target: FakeTarget) -> None:
    target.objects["b/o"] = b"abc"
    assert facts(pod.ais.pull("b/o", args="do:report:a b"))["args"] == "do:report:a b"


def test_file_instead_of_a_body(pod: Pod, source: Path) -> None:
    answer = pod.ais.push("b/o", fqn=source)
    assert (answer.status, answer.body) == (200, b"FROM A FILE")


def test_file_instead_of_an_upstream_get(pod: Pod, target: FakeTarget, source: Path) -> None:
    answer = pod.ais.pull("b/o", fqn=source)
    assert (answer.status, answer.body) == (200, b"FROM A FILE")
    assert target.requests == []


def test_file_goes_before_the_body(pod: Pod, source: Path) -> None:
    encoded = quote(quote(str(source), safe=""), safe="")
    assert put(pod, f"etl_fqn={encoded}").body == b"FROM A FILE"


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("encodings", [1, 2])
def test_file_however_encoded(pod: Pod, source: Path, prefix: str, encodings: int) -> None:
    name = prefix + str(source).lstrip("/")
    for _ in range(encodings):
        name = quote(name, safe="")
    assert put(pod, f"etl_fqn=+{name}+", b"").body == b"FROM A FILE"


@pytest.mark.parametrize("name", ["a b", "a+b", "100%", "a%20b", "é中", "a#b?c&d", "a,b;c", "~x"])
def test_file_names(pod: Pod, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"abc")
    answer = pod.ais.push("b/o", fqn=tmp_path / name)
    assert (answer.status, answer.body) == (200, b"ABC")


def test_file_name_is_normalised(pod: Pod, source: Path) -> None:
    roundabout = f"{source.parent}/../{source.parent.name}/./{source.name}"
    assert pod.ais.push("b/o", fqn=roundabout).body == b"FROM A FILE"


def test_blank_file_name_is_none(pod: Pod) -> None:
    assert put(pod, "etl_fqn=+").body == b"ABC"


def test_empty_file(pod: Pod, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    answer = pod.ais.push("b/o", fqn=tmp_path / "empty")
    assert (answer.status, answer.body, answer.complete) == (200, b"", True)


def test_missing_file_is_not_found(pod: Pod, tmp_path: Path) -> None:
    answer = pod.ais.push("b/o", fqn=tmp_path / "gone")
    assert answer.status == 404
    assert b"file not found" in answer.body
    assert json.loads(answer.body)["detail"].startswith("Error processing object 'b/o'")


def test_directory_is_no_source(pod: Pod, tmp_path: Path) -> None:
    assert pod.ais.push("b/o", fqn=tmp_path).status >= 400


def test_large_file(pod: Pod, tmp_path: Path) -> None:
    content = bytes(range(256)) * 16_000
    (tmp_path / "large").write_bytes(content)
    answer = pod.ais.push("b/o", fqn=tmp_path / "large")
    assert answer.body == content.upper()
    assert answer.complete


@pytest.mark.parametrize(
    "name",
    [
        "/proc/self/environ",
        "/proc/self/cmdline",
        "/sys/kernel/notes",
        "/dev/zero",
        "/mnt/../proc/self/environ",
        "/mnt/%2e%2e/%2e%2e/proc/self/environ",
        "proc/self/environ",
        "/proc/1/environ",
        "/proc/self/root/etc/passwd",
        "/dev/fd/0",
        "/mnt/a\0b",
    ],
)
def test_files_that_are_nobodys_objects(pod: Pod, name: str) -> None:
    """3.17: /proc/self/environ returned the secret and the token."""
    answer = pod.ais.push("b/o", fqn=name, args="do:size:3")
    assert 400 <= answer.status < 600
    assert b"AIS_TARGET_URL" not in answer.body


def test_link_to_a_file_that_is_nobodys_object(pod: Pod, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/proc/self/environ")
    answer = pod.ais.push("b/o", fqn=tmp_path / "link")
    assert answer.status >= 400
    assert b"AIS_TARGET_URL" not in answer.body.upper()


def test_own_source_is_not_served(pod: Pod) -> None:
    answer = pod.ais.push("b/o", fqn=Path(__file__).with_name("transforms.py"))
    assert answer.status >= 400
