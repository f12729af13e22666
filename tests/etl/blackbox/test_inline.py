"""Answers without a pipeline: contract 1.5, first table, and what 3 lists of it."""

import json
import threading
from typing import Final

import pytest

from asgi_bridge.etl.testing import (
    Close,
    FakeTarget,
    Framing,
    Raw,
    Reset,
    Slow,
    Status,
    Truncate,
    refusing,
)

from .actions import FAILURE, MIB
from .pods import Pod

LARGE: Final = bytes(range(256)) * 20_000  # 5 MB: beyond every buffer on the way
NEVER_COMPLETE: Final = [
    Truncate(after_bytes=100),
    Truncate(after_bytes=100, reset=True),
    Truncate(after_bytes=100, framing=Framing.CHUNKED),
    Truncate(after_bytes=3 * MIB, framing=Framing.CHUNKED),
    Truncate(after_bytes=3 * MIB),
]


def detail(body: bytes) -> str:
    return str(json.loads(body)["detail"])


def test_push(pod: Pod) -> None:
    answer = pod.ais.push("b/o", b"abc")
    assert (answer.status, answer.body, answer.complete) == (200, b"ABC", True)
    assert answer.header("content-type") == "application/octet-stream"


def test_pull(pod: Pod, target: FakeTarget) -> None:
    target.objects["ais/@#/b/o"] = b"abc"
    answer = pod.ais.pull("ais/@#/b/o")
    assert (answer.status, answer.body, answer.complete) == (200, b"ABC", True)
    assert answer.header("content-type") == "application/octet-stream"


def test_large_push(pod: Pod) -> None:
    answer = pod.ais.push("b/o", LARGE)
    assert answer.body == LARGE.upper()
    assert answer.complete


def test_large_pull(pod: Pod, target: FakeTarget) -> None:
    target.objects["b/o"] = LARGE
    answer = pod.ais.pull("b/o")
    assert answer.body == LARGE.upper()
    assert answer.complete


def test_large_chunked_push(pod: Pod) -> None:
    pieces = [LARGE[at : at + 10_000] for at in range(0, len(LARGE), 10_000)]
    assert pod.ais.push("b/o", pieces).body == LARGE.upper()


def test_whole_answer_has_its_length(buffered: Pod) -> None:
    answer = buffered.ais.push("b/o", LARGE)
    assert answer.header("content-length") == str(len(LARGE))


def test_small_answer_has_its_length(pod: Pod) -> None:
    """Small outputs are whole before they start: AIStore makes a cut answer a corrupt object."""
    answer = pod.ais.push("b/o", b"x" * 500_000)
    assert answer.header("content-length") == "500000"


@pytest.mark.parametrize("length", [0, 1, 65536, MIB - 1, MIB, MIB + 1, 3 * MIB])
def test_answers_of_any_length(pod: Pod, length: int) -> None:
    answer = pod.ais.push("b/o", b"abc", args=f"do:size:{length}")
    assert (answer.status, len(answer.body), answer.complete) == (200, length, True)


def test_empty_object(pod: Pod) -> None:
    answer = pod.ais.push("b/o", b"")
    assert (answer.status, answer.body, answer.complete) == (200, b"", True)


def test_empty_source(pod: Pod, target: FakeTarget) -> None:
    target.objects["b/o"] = b""
    assert pod.ais.pull("b/o").body == b""


def test_transform_without_output(pod: Pod) -> None:
    answer = pod.ais.push("b/o", b"abc", args="do:empty")
    assert (answer.status, answer.body, answer.complete) == (200, b"", True)


def test_transform_that_does_not_read(pod: Pod) -> None:
    answer = pod.ais.push("b/o", LARGE, args="do:ignore")
    assert (answer.status, answer.body) == (200, b"ignored")


@pytest.mark.parametrize("kind", ["bytearray", "memoryview"])
def test_other_bytes_like_answers(pod: Pod, kind: str) -> None:
    """3.10: a 500, or a 200 that was cut."""
    answer = pod.ais.push("b/o", b"abc", args=f"do:{kind}")
    assert (answer.status, answer.body, answer.complete) == (200, b"ABC", True)


def test_transform_that_fails(pod: Pod) -> None:
    """3.2: streaming, it was a bare "Internal Server Error"."""
    answer = pod.ais.push("b/o", b"abc", args="do:fail")
    assert (answer.status, detail(answer.body)) == (500, f"Processing error: {FAILURE}")


@pytest.mark.parametrize("length", [1, 1000, 65536, 900_000])
def test_transform_that_fails_early(pod: Pod, length: int) -> None:
    """What has not left yet is an honest 500."""
    answer = pod.ais.push("b/o", b"abc", args=f"do:fail-late:{length}")
    assert (answer.status, answer.complete) == (500, True)
    assert FAILURE in detail(answer.body)


def test_transform_that_fails_in_mid_stream(streaming: Pod) -> None:
    answer = streaming.ais.push("b/o", b"abc", args=f"do:fail-late:{8 * MIB}")
    assert (answer.status, answer.complete) == (200, False)
    assert set(answer.body) <= set(b"x")


def test_whole_answer_fails_whole(buffered: Pod) -> None:
    answer = buffered.ais.push("b/o", b"abc", args=f"do:fail-late:{8 * MIB}")
    assert (answer.status, answer.complete) == (500, True)


def test_exception_with_a_status(pod: Pod) -> None:
    """3.9: in buffered mode it was a 500."""
    answer = pod.ais.push("b/o", b"abc", args="do:teapot")
    assert answer.status == 418
    assert b"short and stout" in answer.body


def test_file_that_the_transform_misses(pod: Pod) -> None:
    """3.9: a 404, which AIStore notes as "object not found"."""
    answer = pod.ais.push("b/o", b"abc", args="do:missing")
    assert answer.status == 500
    assert b"model.bin" in answer.body


@pytest.mark.parametrize("status", [400, 401, 403, 404, 416, 429, 500, 502, 503, 507])
def test_status_of_the_source(pod: Pod, target: FakeTarget, status: int) -> None:
    target.order(Status(status=status, body=b"why"))
    answer = pod.ais.pull("b/o")
    assert (answer.status, detail(answer.body)) == (status, "Target request failed")


def test_source_that_does_not_exist(pod: Pod) -> None:
    assert pod.ais.pull("ais/@#/b/gone").status == 404


@pytest.mark.parametrize("fault", [Reset(), Close(), Raw(answer=b"huh?\r\n\r\n")], ids=repr)
def test_target_that_fails_before_it_answers(
    pod: Pod, target: FakeTarget, fault: Reset | Close | Raw
) -> None:
    target.order(fault, times=None)
    answer = pod.ais.pull("b/o")
    assert answer.status == 502
    assert detail(answer.body).startswith("Network error")


@pytest.mark.parametrize("fault", NEVER_COMPLETE, ids=repr)
def test_source_that_is_cut_is_never_whole(pod: Pod, target: FakeTarget, fault: Truncate) -> None:
    """A transform must not take the cut for an end."""
    target.objects["b/o"] = LARGE
    target.order(fault, times=None)
    answer = pod.ais.pull("b/o")
    assert answer.status == 502 or not answer.complete


@pytest.mark.parametrize("fault", NEVER_COMPLETE[:3], ids=repr)
def test_short_source_that_is_cut_is_never_a_start(
    pod: Pod, target: FakeTarget, fault: Truncate
) -> None:
    """3.3: 100 bytes of a cut source already started a 200."""
    target.objects["b/o"] = LARGE
    target.order(fault, times=None)
    answer = pod.ais.pull("b/o")
    assert (answer.status, answer.complete) == (502, True)
    assert detail(answer.body).startswith("Network error")


def test_slow_source(pod: Pod, target: FakeTarget) -> None:
    target.objects["b/o"] = b"abcdef"
    target.order(Slow(piece_bytes=1))
    assert pod.ais.pull("b/o").body == b"ABCDEF"


@pytest.mark.parametrize("action", ["lines", "buffered-reader", "readinto", "read1"])
def test_reader_is_a_file(
    streaming: Pod, target: FakeTarget, tmp_path: object, action: str
) -> None:
    """3.3: no readinto, no read1, and neither iteration nor `with` over an upstream GET."""
    target.objects["b/o"] = b"one\ntwo\n"
    expected = b"\neno\nowt" if action == "lines" else b"one\ntwo\n"
    args = f"do:{action}"
    for answer in (
        streaming.ais.push("b/o", b"one\ntwo\n", args=args),
        streaming.ais.pull("b/o", args=args),
    ):
        assert (answer.status, answer.body) == (200, expected)


def test_reads_of_an_upload_are_full(streaming: Pod) -> None:
    pieces = [b"abc"] * 10
    answer = streaming.ais.push("b/o", pieces, args="do:full-reads:8")
    assert json.loads(answer.body) == [8, 8, 8, 6]


def test_reads_of_a_source_are_full(streaming: Pod, target: FakeTarget) -> None:
    """3.3: they were as short as the network's packets."""
    target.objects["b/o"] = b"abcdefgh" * 4
    target.order(Slow(piece_bytes=3, pause=0.005))
    answer = streaming.ais.pull("b/o", args="do:full-reads:24")
    assert json.loads(answer.body) == [24, 8]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity"])
def test_source_is_never_decoded(pod: Pod, target: FakeTarget, encoding: str) -> None:
    """3.14: buffered, a Content-Encoding was decoded. An object is its bytes, none else."""
    target.order(Status(status=200, body=b"abc", headers=(("content-encoding", encoding),)))
    assert pod.ais.pull("b/o").body == b"ABC"
    assert target.gets()[0].header("accept-encoding") in (None, "identity")


def test_target_cannot_be_reached(tmp_path: object, pod: Pod) -> None:
    """For the pod that cannot even connect, see test_settings; this one keeps its connections."""
    with refusing() as url:
        answer = pod.ais.push("b/o", b"abc", pipeline=[f"{url}/ais%2F@%23%2Fb%2Fo"])
    assert answer.status in (502, 503)


def test_download(pod: Pod, target: FakeTarget) -> None:
    """3.16: the Go server alone had it; AIStore sends it for download jobs."""
    target.objects["remote"] = b"abc"
    link = f"{target.url}/remote"
    answer = pod.ais.request("POST", f"/download?original_url={link}&object_to=b/o")
    assert (answer.status, answer.body) == (200, b"ABC")


def test_arguments_of_a_download(pod: Pod, target: FakeTarget) -> None:
    target.objects["remote"] = b"abc"
    query = f"original_url={target.url}/remote&object_to=b%2Fo&etl_args=do:report"
    facts = json.loads(pod.ais.request("POST", f"/download?{query}").body)
    assert (facts["path"], facts["args"]) == ("b/o", "do:report")


@pytest.mark.parametrize("query", ["", "?object_to=b/o", "?original_url=http://127.0.0.1:1/x"])
def test_download_of_nothing(pod: Pod, query: str) -> None:
    assert pod.ais.request("POST", f"/download{query}").status == 400


def test_download_that_fails(pod: Pod, target: FakeTarget) -> None:
    target.order(Truncate(after_bytes=1), times=None)
    target.objects["remote"] = b"abc"
    answer = pod.ais.request("POST", f"/download?original_url={target.url}/remote&object_to=b/o")
    assert answer.status >= 400


def test_many_at_once(pod: Pod) -> None:
    answers: list[bytes] = []
    pushes = [
        threading.Thread(target=lambda: answers.append(pod.ais.push("b/o", LARGE).body))
        for _ in range(8)
    ]
    for push in pushes:
        push.start()
    for push in pushes:
        push.join()
    assert answers == [LARGE.upper()] * 8
