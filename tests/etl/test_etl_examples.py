"""The transforms in examples/etl, each end to end on the fake AIStore."""

import gzip
import hashlib
import io
import json
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from asgi_bridge.etl import ETLServer
from asgi_bridge.etl.testing import Answer, FakeTarget, serving
from examples.etl.ffmpeg import ToWav
from examples.etl.gunzip import Gunzip
from examples.etl.md5 import Md5
from examples.etl.ndjson_filter import NdjsonFilter
from examples.etl.resize import Resize
from examples.etl.tar_members import TarMembers

UNAME = "ais/@#/dst/o"
LARGE = bytes(range(256)) * 20_000


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTarget]:
    with FakeTarget() as it:
        monkeypatch.setenv("AIS_TARGET_URL", it.url)
        yield it


def pushed(kind: type[ETLServer], body: bytes, args: str | None = None, *pipeline: str) -> Answer:
    with serving(kind().app) as etl:
        return etl.push("src/o", body, args=args, pipeline=pipeline)


def tar_of(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        directory = tarfile.TarInfo("dir")
        directory.type = tarfile.DIRTYPE
        archive.addfile(directory)
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def test_gunzip(target: FakeTarget) -> None:
    assert pushed(Gunzip, gzip.compress(LARGE)).body == LARGE


def test_gunzip_of_a_cut_object(target: FakeTarget) -> None:
    answer = pushed(Gunzip, gzip.compress(LARGE)[:-20], None, target.destination(UNAME))
    assert answer.status == 500
    assert target.deliveries == []


def test_tar_members(target: FakeTarget) -> None:
    members = {"a.jpg": b"one", "dir/b.txt": b"two", "dir/c.jpg": LARGE, "d.jpg": b"x" * 512}
    answer = pushed(TarMembers, tar_of(members), "*.jpg")
    with tarfile.open(fileobj=io.BytesIO(answer.body)) as archive:
        found = {each.name: archive.extractfile(each) for each in archive if each.isreg()}
        contents = {name: file.read() for name, file in found.items() if file}
    assert contents == {name: body for name, body in members.items() if name.endswith("jpg")}


def test_all_tar_members(target: FakeTarget) -> None:
    answer = pushed(TarMembers, tar_of({"a": b"one"}))
    with tarfile.open(fileobj=io.BytesIO(answer.body)) as archive:
        assert archive.getnames() == ["dir", "a"]


def test_tar_that_is_cut(target: FakeTarget) -> None:
    whole = tar_of({"a": LARGE})
    answer = pushed(TarMembers, whole[: len(whole) // 2], None, target.destination(UNAME))
    assert answer.status >= 400
    assert target.deliveries == []


def test_resize(target: FakeTarget) -> None:
    out = io.BytesIO()
    Image.new("RGBA", (640, 320), "red").save(out, "PNG")
    answer = pushed(Resize, out.getvalue(), "64")
    assert answer.header("content-type") == "image/jpeg"
    with Image.open(io.BytesIO(answer.body)) as image:
        assert (image.size, image.format) == ((64, 32), "JPEG")


def test_resize_of_what_is_no_image(target: FakeTarget) -> None:
    answer = pushed(Resize, b"text")
    assert answer.status == 400
    assert b"is no image" in answer.body


FAKE_FFMPEG = """#!/bin/sh
{body}
"""


def program(directory: Path, body: str) -> str:
    """A program in ffmpeg's place."""
    path = directory / "ffmpeg"
    path.write_text(FAKE_FFMPEG.format(body=body))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def to_wav(path: str) -> type[ToWav]:
    return type("ToWavBy", (ToWav,), {"program": path})


def test_ffmpeg_pipes_are_both_drained(target: FakeTarget, tmp_path: Path) -> None:
    """5 MB each way, and a megabyte of complaints, through pipes of 64 KiB."""
    body = "head -c 1000000 /dev/zero >&2; exec cat"
    answer = pushed(to_wav(program(tmp_path, body)), LARGE)
    assert (answer.status, answer.body) == (200, LARGE)
    assert answer.header("content-type") == "audio/wav"


def test_ffmpeg_that_fails(target: FakeTarget, tmp_path: Path) -> None:
    body = "cat >/dev/null; echo 'no such codec' >&2; exit 1"
    answer = pushed(to_wav(program(tmp_path, body)), b"abc")
    assert answer.status == 500
    assert b"no such codec" in answer.body


def test_ffmpeg_that_has_had_enough(target: FakeTarget, tmp_path: Path) -> None:
    answer = pushed(to_wav(program(tmp_path, "head -c 3")), LARGE)
    assert (answer.status, answer.body) == (200, LARGE[:3])


def test_ffmpeg_is_not_there(target: FakeTarget) -> None:
    answer = pushed(to_wav("no-such-ffmpeg"), b"abc", None, target.destination(UNAME))
    assert answer.status == 500
    assert b"is not installed" in answer.body
    assert target.deliveries == []


def test_ndjson_filter(target: FakeTarget) -> None:
    rows = [{"lang": "en", "n": 1}, {"lang": "de", "n": 2}, {"lang": "en", "n": 3}]
    body = b"\n".join(json.dumps(each).encode() for each in rows) + b"\n\n"
    answer = pushed(NdjsonFilter, body, '{"lang":"en"}')
    assert [json.loads(line)["n"] for line in answer.body.splitlines()] == [1, 3]
    assert pushed(NdjsonFilter, body).body.count(b"\n") == 3


@pytest.mark.parametrize("args", ["not json", "[1]"])
def test_ndjson_filter_by_nothing(target: FakeTarget, args: str) -> None:
    assert pushed(NdjsonFilter, b"{}\n", args).status == 400


def test_ndjson_filter_of_something_else(target: FakeTarget) -> None:
    answer = pushed(NdjsonFilter, b"{}\nnot json\n")
    assert answer.status == 500
    assert b"src/o, line 2" in answer.body


def test_md5(target: FakeTarget) -> None:
    answer = pushed(Md5, LARGE)
    assert answer.body == hashlib.md5(LARGE, usedforsecurity=False).hexdigest().encode()


def test_md5_is_delivered(target: FakeTarget) -> None:
    assert pushed(Md5, b"", None, target.destination(UNAME)).status == 204
    assert target.stored == {UNAME: b"d41d8cd98f00b204e9800998ecf8427e"}
