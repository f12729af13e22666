"""The demo, small: that it succeeds, and that it fails when it should, leaving nothing behind."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from examples import demo

from .processes import LIMIT, ROOT


def start_demo(directory: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Run the demo in a process of its own, with its temporary files in a directory."""
    return subprocess.Popen(
        [sys.executable, "-m", "examples.demo", *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(directory), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_small_demo(tmp_path: Path) -> None:
    with start_demo(tmp_path, "--megabytes", "5") as process:
        out, err = process.communicate(timeout=LIMIT)
    assert (process.returncode, err) == (0, "")
    shown = [line.strip() for line in out.splitlines()]
    assert "result  all 5,000,000 bytes are right" in shown
    assert "5 of 5 MB streamed and compared" in shown
    assert any(re.fullmatch(r"speed +\d+ MB/s each way at once, .*", line) for line in shown)
    if sys.platform == "linux":
        assert re.search(r"^memory +server: \d+ MB idle, \d+ MB at its peak$", out, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []


def test_interrupted_demo_cleans_up(tmp_path: Path) -> None:
    with start_demo(tmp_path, "--megabytes", "300") as process:
        assert process.stdout is not None
        port = next(
            found[1] for line in process.stdout if (found := re.search(r"port (\d+)", line))
        )
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=LIMIT)
    assert (process.returncode, err) == (130, "demo: interrupted\n")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConnectionRefusedError):  # the server is gone, too
        socket.create_connection(("127.0.0.1", int(port)), timeout=LIMIT)


@dataclass
class FakeResponse:
    """The part of a response that `compare` needs: what each read returns or raises."""

    blocks: list[bytes | Exception]

    def read(self, size: int) -> bytes:
        block = self.blocks.pop(0) if self.blocks else b""
        if isinstance(block, Exception):
            raise block
        return block


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([b"AB", b"CX"], "byte 3 is wrong"),
        ([b"ABCDE"], "byte 4 is wrong"),
        ([b"AB"], "the answer ended too early, after 2 bytes"),
        ([b"AB", http.client.IncompleteRead(b"C")], "the answer was cut after 3 bytes"),
    ],
)
def test_wrong_answers_are_found(
    blocks: list[bytes | Exception], message: str, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"abcd")
    with pytest.raises(demo.DemoError, match=message):
        demo.compare(FakeResponse(blocks), file, demo.Progress(4))


def test_failure_is_one_line_and_no_success(tmp_path: Path) -> None:
    """Here it is the server's: it cannot be imported."""
    (tmp_path / "hypercorn.py").write_text("raise ImportError('broken on purpose')")
    with start_demo(tmp_path, "--megabytes", "1", PYTHONPATH=str(tmp_path)) as process:
        _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 1
    assert re.fullmatch(r"demo: FAILED: .*last words: ImportError: broken on purpose\n", err)
