"""Which local files a request may name."""

import sys
from pathlib import Path

import pytest

from asgi_bridge.etl.errors import Refused
from asgi_bridge.etl.fqn import FileAccess, sanitize_fqn


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("%2Fmnt%2Fx%2Fobj", "/mnt/x/obj"),
        ("/mnt/x/obj", "/mnt/x/obj"),
        ("mnt/x/obj", "/mnt/x/obj"),
        ("%2Fmnt%2F..%2F..%2Fetc%2Fpasswd", "/etc/passwd"),
        ("../../etc/passwd", "/etc/passwd"),
        ("//mnt//x", "/mnt/x"),
        ("/mnt/x/", "/mnt/x"),
        ("/mnt/a%2520b", "/mnt/a%20b"),
        ("/mnt/100%25", "/mnt/100%"),
        ("/mnt/a+b", "/mnt/a+b"),
        ("", "/"),
        ("~/.ssh/id_rsa", "/~/.ssh/id_rsa"),
        ("/proc/self/environ", "/proc/self/environ"),
        ("/mnt/a%00b", "/mnt/a\x00b"),
    ],
)
def test_sanitize(value: str, path: str) -> None:
    assert sanitize_fqn(value) == path


@pytest.mark.parametrize(
    "path",
    [
        "/proc/self/environ",
        "/proc/self/root/etc/hostname",  # a link that leads to any file
        "/sys/kernel",
        "/dev/fd/0",
        "/dev",
        sys.executable,
        __file__,
    ],
)
def test_never(path: str) -> None:
    access = FileAccess((), [__file__])
    with pytest.raises(Refused) as caught:
        access.check(path)
    assert caught.value.status_code == 403


def test_a_link_does_not_lead_out(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    (inside / "file").write_bytes(b"x")
    (tmp_path / "out").write_bytes(b"x")
    (inside / "link").symlink_to(tmp_path / "out")
    (tmp_path / "in-other").write_bytes(b"x")
    access = FileAccess([str(inside)], ())
    assert access.check(f"{inside}/file") == f"{inside}/file"
    for outside in (inside / "link", tmp_path / "out", tmp_path / "in-other"):
        with pytest.raises(Refused):
            access.check(str(outside))


def test_anywhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    (tmp_path / "file").write_bytes(b"x")
    access = FileAccess((), ())
    assert access.check(str(tmp_path / "file")) == str(tmp_path / "file")
    assert access.check(str(tmp_path / "missing")) == str(tmp_path / "missing")
    with pytest.raises(Refused) as caught:
        access.check("/mnt/a\0b")
    assert caught.value.status_code == 400
