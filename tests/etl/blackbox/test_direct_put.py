"""Answers with a pipeline: contract 1.5, second table, 1.3, and 2's URLs and retries."""

import json
import time
from pathlib import Path
from typing import Final

import pytest

from asgi_bridge.etl.testing import (
    Answer,
    Arrival,
    Close,
    FakeStage,
    FakeTarget,
    Fault,
    Framing,
    Raw,
    Reset,
    Status,
    Truncate,
    When,
    refusing,
)
from asgi_bridge.etl.testing.caller import read_answer

from .actions import FAILURE, MIB
from .pods import TOKEN, Pod, connected

UNAME: Final = "ais/@#/dst/obj"
NEVER: Final = "ais/@#/dst/never"  # a name that no upload has, be it ever so late
LARGE: Final = bytes(range(256)) * 20_000
TRANSIENT: Final[list[Fault]] = [
    Reset(),
    Reset(after_bytes=1),
    Close(),
    Raw(answer=b"this is not HTTP\r\n\r\n"),
    Raw(answer=b"HTTP/1.1 200 OK\r\ncontent-le"),
    Truncate(after_bytes=1),
]
STATUSES: Final = [301, 307, 400, 401, 403, 404, 409, 429, 500, 502, 503, 504, 507]
INVALID: Final = [",,,,", "a,,b", "http://a,", ",http://a", "http://a, ,http://b"]


def detail(body: bytes) -> str:
    return str(json.loads(body)["detail"])


def put_with_header(pod: Pod, header: str) -> Answer:
    """A PUT of abc whose pipeline is exactly this; clients would not send such blanks."""
    with connected(pod) as connection:
        head = (
            f"PUT /src/obj HTTP/1.1\r\nHost: pod\r\nContent-Length: 3\r\nAis-Node-Url:{header}\r\n"
        )
        connection.sendall(head.encode() + b"\r\nabc")
        return read_answer(connection)


# Deliveries.


def test_push_is_delivered(pod: Pod, target: FakeTarget) -> None:
    answer = pod.ais.push("src/obj", b"abc", pipeline=[target.destination(UNAME)])
    assert (answer.status, answer.body) == (204, b"")
    assert answer.header("ais-direct-put-length") == "3"
    assert target.deliveries == [(UNAME, b"ABC")]


def test_pull_is_delivered(pod: Pod, target: FakeTarget) -> None:
    target.objects["ais/@#/src/obj"] = b"abc"
    answer = pod.ais.pull("ais/@#/src/obj", pipeline=[target.destination(UNAME)])
    assert (answer.status, answer.header("ais-direct-put-length")) == (204, "3")
    assert target.deliveries == [(UNAME, b"ABC")]


def test_file_is_delivered(pod: Pod, target: FakeTarget, source: Path) -> None:
    answer = pod.ais.push("src/obj", fqn=source, pipeline=[target.destination(UNAME)])
    assert (answer.status, answer.header("ais-direct-put-length")) == (204, "11")
    assert target.deliveries == [(UNAME, b"FROM A FILE")]


def test_large_object_is_delivered(pod: Pod, target: FakeTarget) -> None:
    answer = pod.ais.push("src/obj", LARGE, pipeline=[target.destination(UNAME)])
    assert (answer.status, answer.header("ais-direct-put-length")) == (204, str(len(LARGE)))
    assert target.stored[UNAME] == LARGE.upper()


def test_empty_object_is_delivered(pod: Pod, target: FakeTarget) -> None:
    answer = pod.ais.push("src/obj", b"abc", args="do:empty", pipeline=[target.destination(UNAME)])
    assert (answer.status, answer.body) == (204, b"")
    assert answer.header("ais-direct-put-length") is None
    assert target.deliveries == [(UNAME, b"")]


@pytest.mark.parametrize("kind", ["bytearray", "memoryview"])
def test_other_bytes_like_objects_are_delivered(pod: Pod, target: FakeTarget, kind: str) -> None:
    pod.ais.push("src/obj", b"abc", args=f"do:{kind}", pipeline=[target.destination(UNAME)])
    assert target.deliveries == [(UNAME, b"ABC")]


def test_answer_has_a_length_of_nothing(pod: Pod, target: FakeTarget) -> None:
    """A 204 has no body and no content-length."""
    answer = pod.ais.push("src/obj", b"abc", pipeline=[target.destination(UNAME)])
    assert (answer.complete, answer.header("transfer-encoding")) == (True, None)


# What the target is sent.


def test_delivery_carries_the_token(pod: Pod, target: FakeTarget) -> None:
    pod.ais.push("src/obj", b"abc", pipeline=[target.destination(UNAME)])
    assert target.puts()[0].header("authorization") == f"Bearer {TOKEN}"


def test_source_is_fetched_with_the_token(pod: Pod, target: FakeTarget) -> None:
    target.objects["b/o"] = b"abc"
    pod.ais.pull("b/o")
    assert target.gets()[0].header("authorization") == f"Bearer {TOKEN}"


def test_last_delivery_names_no_more_stages(pod: Pod, target: FakeTarget) -> None:
    pod.ais.push("src/obj", b"abc", pipeline=[target.destination(UNAME)])
    assert target.puts()[0].header("ais-node-url") is None


def test_whole_delivery_has_its_length(buffered: Pod, target: FakeTarget) -> None:
    """With a length the target stores large objects in chunks."""
    buffered.ais.push("src/obj", LARGE, pipeline=[target.destination(UNAME)])
    assert target.puts()[0].header("content-length") == str(len(LARGE))


def test_url_of_a_delivery(pod: Pod, target: FakeTarget) -> None:
    node = target.destination(UNAME, owt="6", uuid="x1")
    pod.ais.push("src/obj", b"abc", pipeline=[node])
    prefix = "/v1/etl/_object/my-etl/s3cr3t"
    assert target.puts()[0].raw_target == f"{prefix}/ais%2F@%23%2Fdst%2Fobj?owt=6&uuid=x1"


def test_arguments_of_a_delivery(pod: Pod, target: FakeTarget) -> None:
    node = target.destination(UNAME, owt="6", uuid="x1")
    pod.ais.push("src/obj", b"abc", args={"a": "b c"}, pipeline=[node])
    (query,) = [each.raw_target.partition("?")[2] for each in target.puts()]
    assert query == "owt=6&uuid=x1&etl_args=%7B%22a%22%3A%22b+c%22%7D"


def test_newer_arguments_replace_older_ones(pod: Pod, target: FakeTarget) -> None:
    node = target.destination(UNAME).replace("?", "?etl_args=old&") + "&blank="
    pod.ais.push("src/obj", b"abc", args="new", pipeline=[node])
    (query,) = [each.raw_target.partition("?")[2] for each in target.puts()]
    assert query == "owt=6&uuid=x1&blank=&etl_args=new"


def test_older_arguments_stand_where_there_are_none(pod: Pod, target: FakeTarget) -> None:
    node = target.destination(UNAME).replace("?", "?etl_args=old&")
    pod.ais.push("src/obj", b"abc", pipeline=[node])
    (query,) = [each.raw_target.partition("?")[2] for each in target.puts()]
    assert query == "etl_args=old&owt=6&uuid=x1"


def test_fragment_is_dropped(pod: Pod, target: FakeTarget) -> None:
    pod.ais.push("src/obj", b"abc", pipeline=[target.destination(UNAME) + "#part"])
    assert target.puts()[0].query == {"owt": "6", "uuid": "x1"}


def test_lone_slash_is_a_path(pod: Pod, target: FakeTarget) -> None:
    pod.ais.push("src/obj", b"abc", pipeline=[f"{target.origin}/"])
    assert target.puts()[0].raw_target == "/v1/etl/_object/my-etl/s3cr3t/"


def test_comma_in_a_name_is_escaped(pod: Pod, target: FakeTarget) -> None:
    node = target.destination("ais/@#/dst/a,b")
    assert "%2C" in node
    pod.ais.push("src/obj", b"abc", pipeline=[node])
    assert target.stored == {"ais/@#/dst/a,b": b"ABC"}


@pytest.mark.parametrize("header", ["", "   "])
def test_blank_pipeline_is_none(pod: Pod, header: str) -> None:
    answer = put_with_header(pod, header)
    assert (answer.status, answer.body) == (200, b"ABC")


@pytest.mark.parametrize("header", INVALID)
def test_invalid_pipeline(pod: Pod, header: str) -> None:
    headers = [("content-length", "3"), ("ais-node-url", header)]
    answer = pod.ais.request("PUT", "/src/obj?etl_args=do:count", headers, b"abc")
    expected = "Invalid pipeline header: Pipeline header contains empty entry"
    assert (answer.status, detail(answer.body)) == (400, expected)


def test_invalid_pipeline_is_noticed_before_the_transform(pod: Pod) -> None:
    """3.16: buffered, the transform ran first."""
    headers = [("content-length", "3"), ("ais-node-url", "a,,b")]
    pod.ais.request("PUT", "/src/obj?etl_args=do:count", headers, b"abc")
    assert pod.happened() == []


@pytest.mark.parametrize("node", ["not a url", "ftp://127.0.0.1/x", "http://", "http://[::1"])
def test_node_that_is_no_url(pod: Pod, node: str) -> None:
    """Only an empty entry is the header's fault; stock composes a URL and fails to send to it."""
    answer = pod.ais.push("src/obj", b"abc", pipeline=[node])
    assert (answer.status, answer.complete) == (500, True)
    assert node in detail(answer.body)


# What the target answers.


@pytest.mark.parametrize("body", [b"", b"why"])
@pytest.mark.parametrize("status", STATUSES)
def test_other_statuses_come_back(pod: Pod, target: FakeTarget, status: int, body: bytes) -> None:
    """Any status but 200 and 204 is passed on with its body, and not retried."""
    target.order(Status(status=status, body=body, headers=(("location", target.origin),)))
    answer = pod.ais.push("src/obj", b"abc", pipeline=[target.destination(UNAME)])
    assert (answer.status, answer.body) == (status, body)
    assert answer.header("location") is None
    assert answer.header("ais-direct-put-length") is None
    assert len(target.puts()) == 1
    assert target.deliveries == []


@pytest.mark.parametrize("status", [400, 401, 507])
@pytest.mark.parametrize("length", [3, 64 * MIB])
def test_status_before_the_body_is_read(
    pod: Pod, target: FakeTarget, status: int, length: int
) -> None:
    """3.8: it was taken for a transient error, and the object was sent again and again."""
    target.order(Status(status=status, body=b"full", when=When.BEFORE_BODY))
    node = target.destination(UNAME)
    answer = pod.ais.push("src/obj", b"abc", args=f"do:size:{length}", pipeline=[node])
    assert (answer.status, answer.body) == (status, b"full")
    assert len(target.puts()) == 1


def test_unknown_job_is_refused(pod: Pod, target: FakeTarget) -> None:
    node = target.destination(UNAME).replace("uuid=x1", "uuid=other")
    assert pod.ais.push("src/obj", b"abc", pipeline=[node]).status == 400


def test_whole_answer_comes_back(pod: Pod, target: FakeTarget) -> None:
    target.order(Status(status=200, body=b"something"))
    answer = pod.ais.push("src/obj", b"abc", pipeline=[target.destination(UNAME)])
    assert (answer.status, answer.body) == (200, b"something")
    assert answer.header("ais-direct-put-length") is None


def test_no_content_carries_its_length_on(pod: Pod, target: FakeTarget) -> None:
    target.order(Status(status=204, headers=(("ais-direct-put-length", "42"),)))
    answer = pod.ais.push("src/obj", b"abc", pipeline=[target.destination(UNAME)])
    assert (answer.status, answer.header("ais-direct-put-length")) == (204, "42")


@pytest.mark.parametrize("headers", [(), (("ais-direct-put-length", "0"),)])
def test_no_content_of_no_length(
    pod: Pod, target: FakeTarget, headers: tuple[tuple[str, str], ...]
) -> None:
    target.order(Status(status=204, headers=headers))
    answer = pod.ais.push("src/obj", b"abc", pipeline=[target.destination(UNAME)])
    assert (answer.status, answer.header("ais-direct-put-length")) == (204, None)


def test_no_content_of_a_length_that_is_no_number(pod: Pod, target: FakeTarget) -> None:
    target.order(Status(status=204, headers=(("ais-direct-put-length", "lots"),)))
    answer = pod.ais.push("src/obj", b"abc", pipeline=[target.destination(UNAME)])
    assert answer.status == 500


# Failures on the way, and retries.


@pytest.mark.parametrize("fault", TRANSIENT, ids=repr)
def test_file_is_sent_again(pod: Pod, target: FakeTarget, source: Path, fault: Fault) -> None:
    if isinstance(fault, Truncate):
        fault = Raw(answer=b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")
    target.order(fault)
    node = target.destination(UNAME)
    answer = pod.ais.push("src/obj", fqn=source, args="do:count", pipeline=[node])
    assert answer.status == 204
    assert target.deliveries == [(UNAME, b"FROM A FILE")]
    assert len(target.puts()) == 2
    assert len(pod.happened()) == (2 if pod.streaming else 1)


def test_source_is_fetched_again(pod: Pod, target: FakeTarget) -> None:
    target.objects["b/o"] = b"abc"
    target.order(Reset(), method="PUT")
    answer = pod.ais.pull("b/o", pipeline=[target.destination(UNAME)])
    assert answer.status == 204
    assert target.deliveries == [(UNAME, b"ABC")]
    assert len(target.gets()) == (2 if pod.streaming else 1)


def test_whole_object_is_sent_again(buffered: Pod, target: FakeTarget) -> None:
    target.order(Reset())
    answer = buffered.ais.push("src/obj", b"abc", pipeline=[target.destination(UNAME)])
    assert answer.status == 204
    assert target.deliveries == [(UNAME, b"ABC")]


@pytest.mark.parametrize("fault", TRANSIENT, ids=repr)
def test_one_shot_body_is_aistores_to_send_again(
    streaming: Pod, target: FakeTarget, fault: Fault
) -> None:
    if isinstance(fault, Truncate):
        fault = Raw(answer=b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")
    target.order(fault, times=None)
    answer = streaming.ais.push("src/obj", b"abc", pipeline=[target.destination(UNAME)])
    assert answer.status == 503
    assert answer.header("ais-etl-retry-reason") == "direct-put-transient"
    assert detail(answer.body).startswith("Direct put bailed (one-shot body)")
    assert len(target.puts()) == 1
    assert target.deliveries == []


def test_retries_run_out(pod: Pod, target: FakeTarget, source: Path) -> None:
    target.order(Reset(), times=None)
    began = time.monotonic()
    answer = pod.ais.push("src/obj", fqn=source, pipeline=[target.destination(UNAME)])
    assert answer.status == 502
    assert detail(answer.body).startswith("Direct put failed after retries")
    assert answer.header("ais-etl-retry-reason") is None
    assert len(target.puts()) == 2
    assert time.monotonic() - began >= 1, "the first pause is a second long"


def test_retries_run_out_where_nobody_listens(pod: Pod, source: Path) -> None:
    with refusing() as url:
        node = f"{url}/ais%2F@%23%2Fb%2Fo?owt=6&uuid=x1"
        answer = pod.ais.push("src/obj", fqn=source, pipeline=[node])
    assert (answer.status, answer.header("ais-etl-retry-reason")) == (502, None)


def test_one_shot_body_where_nobody_listens(streaming: Pod) -> None:
    with refusing() as url:
        node = f"{url}/ais%2F@%23%2Fb%2Fo?owt=6&uuid=x1"
        answer = streaming.ais.push("src/obj", b"abc", pipeline=[node])
    assert answer.status == 503
    assert answer.header("ais-etl-retry-reason") == "direct-put-transient"


@pytest.mark.parametrize("length", [0, 1000, 8 * MIB])
def test_transform_that_fails_delivers_nothing(pod: Pod, target: FakeTarget, length: int) -> None:
    """Its upload is cut, never ended: the target would store a part, or an empty object."""
    action = f"do:fail-late:{length}" if length else "do:fail"
    answer = pod.ais.push("src/obj", b"abc", args=action, pipeline=[target.destination(UNAME)])
    assert answer.status == 500
    assert FAILURE.encode() in answer.body
    assert target.deliveries == []
    target.until(lambda requests: all(each.arrival is Arrival.CUT for each in requests))


def test_whole_transform_that_fails_sends_nothing(buffered: Pod, target: FakeTarget) -> None:
    node = target.destination(NEVER)
    answer = buffered.ais.push("src/obj", b"abc", args="do:fail", pipeline=[node])
    assert (answer.status, detail(answer.body)) == (500, f"Processing error: {FAILURE}")
    assert target.puts(NEVER) == []


@pytest.mark.parametrize(
    "fault",
    [
        Truncate(after_bytes=100),
        Truncate(after_bytes=2 * MIB, framing=Framing.CHUNKED),
        Truncate(after_bytes=2 * MIB),
    ],
    ids=repr,
)
def test_source_that_is_cut_is_not_delivered(pod: Pod, target: FakeTarget, fault: Truncate) -> None:
    target.objects["b/o"] = LARGE
    target.order(fault, method="GET", times=None)
    answer = pod.ais.pull("b/o", pipeline=[target.destination(UNAME)])
    assert answer.status >= 500
    assert target.deliveries == []


def test_missing_file_is_not_delivered(pod: Pod, target: FakeTarget, tmp_path: Path) -> None:
    node = target.destination(NEVER)
    assert pod.ais.push("src/obj", fqn=tmp_path / "gone", pipeline=[node]).status == 404
    assert target.puts(NEVER) == []


def test_status_of_the_source_comes_before_the_delivery(pod: Pod, target: FakeTarget) -> None:
    answer = pod.ais.pull("b/gone", pipeline=[target.destination(NEVER)])
    assert answer.status == 404
    assert target.puts(NEVER) == []


# Stages.


def test_stage_returns_the_object(pod: Pod, stage: FakeStage) -> None:
    answer = pod.ais.push("src/obj", b"abc", pipeline=[stage.url])
    assert (answer.status, answer.body, answer.complete) == (200, b"CBA", True)
    assert answer.header("ais-direct-put-length") is None


def test_url_of_a_stage(pod: Pod, stage: FakeStage) -> None:
    pod.ais.push(
        "src/a b#c?d%e@f+g.bin".replace("?", "%3F").replace("#", "%23"), b"", pipeline=[stage.url]
    )
    (request,) = stage.requests
    assert request.method == "PUT"


@pytest.mark.parametrize(
    ("raw", "sent"),
    [
        ("/src/obj", "/src/obj"),
        ("/src/a%20b%23c%3Fd%25e@f+g.bin", "/src/a%20b%23c%3Fd%25e@f%2Bg.bin"),
        ("/src/%C3%A9", "/src/%C3%A9"),
        ("/ais%2F@%23%2Fsrc%2Fobj", "/ais/@%23/src/obj"),
    ],
)
def test_path_at_a_stage(pod: Pod, stage: FakeStage, raw: str, sent: str) -> None:
    headers = [("content-length", "3"), ("ais-node-url", stage.url)]
    pod.ais.request("PUT", raw, headers, b"abc")
    assert stage.requests[0].raw_target == sent


def test_arguments_at_a_stage(pod: Pod, stage: FakeStage) -> None:
    pod.ais.push("src/obj", b"abc", args="jpeg", pipeline=[stage.url])
    assert stage.requests[0].raw_target == "/src/obj?etl_args=jpeg"


def test_stage_is_sent_the_token(pod: Pod, stage: FakeStage) -> None:
    pod.ais.push("src/obj", b"abc", pipeline=[stage.url])
    assert stage.requests[0].header("authorization") == f"Bearer {TOKEN}"


def test_rest_of_the_pipeline_goes_on_verbatim(pod: Pod, stage: FakeStage) -> None:
    stage.order(Status(status=200, body=b"x"))
    header = f" {stage.url} , http://b ,http://c"
    put_with_header(pod, header)
    assert stage.requests[0].header("ais-node-url") == "http://b ,http://c"


def test_whole_pipeline(pod: Pod, stage: FakeStage, target: FakeTarget) -> None:
    pipeline = [stage.url, target.destination(UNAME)]
    answer = pod.ais.push("src/obj", b"abc", pipeline=pipeline)
    assert (answer.status, answer.header("ais-direct-put-length")) == (204, "3")
    assert target.deliveries == [(UNAME, b"CBA")]


def test_empty_object_of_a_stage(pod: Pod, stage: FakeStage) -> None:
    """3.6: it became a 204, and AIStore stored nothing."""
    answer = pod.ais.push("src/obj", b"abc", args="do:empty", pipeline=[stage.url])
    assert (answer.status, answer.body) == (200, b"")


def test_reason_of_a_stage_comes_through(streaming: Pod, stage: FakeStage) -> None:
    """3.7: the header was lost, and nobody sent the object again."""
    reason = (("ais-etl-retry-reason", "direct-put-transient"),)
    stage.order(Status(status=503, body=b"bailed", headers=reason), times=None)
    answer = streaming.ais.push("src/obj", b"abc", pipeline=[stage.url])
    assert answer.status == 503
    assert answer.header("ais-etl-retry-reason") == "direct-put-transient"


def test_reason_of_a_stage_is_met_by_sending_again(
    pod: Pod, stage: FakeStage, source: Path
) -> None:
    """The source can be read again; AIStore does not retry such a request."""
    reason = (("ais-etl-retry-reason", "direct-put-transient"),)
    stage.order(Status(status=503, body=b"bailed", headers=reason))
    answer = pod.ais.push("src/obj", fqn=source, pipeline=[stage.url])
    assert (answer.status, answer.body) == (200, b"FROM A FILE"[::-1])
    assert len(stage.requests) == 2


def test_reason_never_goes_where_it_means_nothing(pod: Pod, stage: FakeStage, source: Path) -> None:
    reason = (("ais-etl-retry-reason", "direct-put-transient"),)
    stage.order(Status(status=503, body=b"bailed", headers=reason), times=None)
    answer = pod.ais.push("src/obj", fqn=source, pipeline=[stage.url])
    assert answer.status in (502, 503)
    assert answer.header("ais-etl-retry-reason") is None


@pytest.mark.parametrize("framing", Framing)
def test_answer_of_a_stage_that_is_cut(streaming: Pod, stage: FakeStage, framing: Framing) -> None:
    """Relayed as it comes: once begun, the cut must be passed on as a cut."""
    stage.order(Truncate(after_bytes=3 * MIB, framing=framing), times=None)
    answer = streaming.ais.push("src/obj", LARGE, pipeline=[stage.url])
    assert answer.status >= 500 or not answer.complete
