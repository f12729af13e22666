"""What a stream frees is kept for its next chunks, on glibc."""

import os
import platform
import subprocess
import sys

import pytest

# Ten chunks of 256 KiB, each freed before the next; prints how many pages they have faulted in.
CHUNKS = """
import resource
from asgi_bridge import BridgeMiddleware, WorkerPool
{made}
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
bytes(b"x" * 262144).upper()
before = faults()
for _ in range(10):
    (b"x" * 262144).upper()
print(faults() - before)
"""
PAGES = 10 * 2 * 64  # of the chunk and of what becomes of it


def faults_with(made: str) -> int:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
    command = [sys.executable, "-c", CHUNKS.format(made=made)]
    answer = subprocess.run(command, env=environ, capture_output=True, check=True, timeout=60)
    return int(answer.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that is taught")
@pytest.mark.parametrize("made", ["WorkerPool()", "BridgeMiddleware(lambda *_: None)"])
def test_freed_chunks_are_not_faulted_in_again(made: str) -> None:
    assert faults_with("") >= PAGES // 2  # importing does nothing: every page is new every time
    assert faults_with(made) < PAGES // 10
