"""A queue of bytes in a file: order, bounds, privacy, and its end."""

import errno
import os
import stat
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_bridge import ExchangeOver, SpoolFull
from asgi_bridge.crossing.diskqueue import DiskQueue

WAIT = 5.0


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@given(st.lists(st.one_of(st.binary(min_size=1, max_size=7), st.integers(1, 9)), max_size=60))
def test_like_a_bytearray(steps: list[bytes | int]) -> None:
    queue, model = DiskQueue(16), bytearray()
    for step in steps:
        if isinstance(step, int):
            taken = queue.take(step) if model else b""
            assert taken == model[: len(taken)]
            assert bool(taken) == bool(model)  # it may be short, at the end of the ring
            del model[: len(taken)]
        elif len(model) + len(step) <= 16:
            queue.append([step[:2], step[2:]])
            model += step
        else:
            with pytest.raises(SpoolFull, match="holds 16 bytes at most"):
                queue.append([step])
        assert queue.held == len(model)
    queue.close()


def test_file_is_never_longer_than_the_limit(tmp_path: Path) -> None:
    queue = DiskQueue(10, str(tmp_path))
    queue.append([b"12345678"])
    for _ in range(10):  # never empty, so it goes round and round
        queue.take(3)
        queue.append([b"abcdefghij"[: 10 - queue.held]])
        assert os.fstat(opened(queue)).st_size == 10
    queue.close()


def test_file_begins_anew_when_it_is_empty(tmp_path: Path) -> None:
    queue = DiskQueue(1000, str(tmp_path))
    for _ in range(20):
        queue.append([b"1234567"])
        assert queue.take(100) == b"1234567"
    assert os.fstat(opened(queue)).st_size == 7
    queue.close()


def test_file_is_private_and_has_no_name(tmp_path: Path) -> None:
    queue = DiskQueue(10, str(tmp_path))
    queue.append([b"secret"])
    status = os.fstat(opened(queue))
    assert (stat.S_IMODE(status.st_mode), status.st_nlink) == (0o600, 0)
    assert list(tmp_path.iterdir()) == []
    queue.close()


def test_no_file_is_made_before_there_is_something_to_keep() -> None:
    before = descriptors()
    queue = DiskQueue(10)
    assert descriptors() == before
    queue.append([b"a"])
    assert descriptors() == before + 1
    queue.close()
    assert descriptors() == before


def test_closed_queue_takes_and_gives_nothing() -> None:
    queue = DiskQueue(10)
    queue.append([b"a"])
    queue.close()
    queue.close()
    with pytest.raises(ExchangeOver):
        queue.append([b"b"])
    with pytest.raises(ExchangeOver):
        queue.take(1)


def test_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    queue = DiskQueue(10)
    queue.append([b"a"])
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(SpoolFull, match="No space left on device"):
        queue.append([b"b"])
    assert queue.take(9) == b"a"
    queue.close()


def test_disk_that_takes_a_part_is_given_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, place: whole(fd, data[:3], place))
    queue = DiskQueue(10)
    queue.append([b"12345678"])
    assert queue.take(9) == b"12345678"
    queue.close()


def test_directory_that_is_not_there(tmp_path: Path) -> None:
    queue = DiskQueue(10, str(tmp_path / "missing"))
    with pytest.raises(SpoolFull, match="cannot be made"):
        queue.append([b"a"])
    queue.close()


def test_descriptor_outlives_a_close_while_a_thread_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the thread would write into whatever file is given the same number next."""
    writing, closed = threading.Event(), threading.Event()
    whole = os.pwrite
    written = []

    def slow(descriptor: int, data: bytes, place: int) -> int:
        writing.set()
        assert closed.wait(WAIT)
        written.append(os.fstat(descriptor).st_nlink)
        return whole(descriptor, data, place)

    monkeypatch.setattr(os, "pwrite", slow)
    before = descriptors()
    queue = DiskQueue(10)
    thread = threading.Thread(target=queue.append, args=([b"a"],))
    thread.start()
    assert writing.wait(WAIT)
    queue.close()
    with tempfile.TemporaryFile() as other:
        closed.set()
        thread.join(WAIT)
        assert other.read() == b""
    assert written == [0]
    assert descriptors() == before


def opened(queue: DiskQueue) -> int:
    assert queue._descriptor is not None
    return queue._descriptor
