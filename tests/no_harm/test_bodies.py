"""A body is whole, however slowly it comes and whoever listens; `open_body` knows its place."""

import gzip
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from . import bodies
from .site import Site, Visit

CHUNKS: Final = [b"%d " % number * 50 for number in range(5)]
TEXT: Final = b"plain text " * 500
STREAMS: Final = ("bodies/stream", "bodies-http/stream", "litestar/stream", "quart/stream")
OPENING: Final = (
    "opening",
    "opening-gunzip",
    "opening-reader",
    "opening-repeater",
    "opening-passing",
)
WAYS: Final = ("stream", "open", "open-spooled", "open-async", "open-parts", "handler/")
DESCRIBED: Final = (b'{"bytes":5500,"text":true}', b"5500 True")


def echoed(visit: Visit, chunk: bytes) -> None:
    """Send a chunk and wait until it has come back."""
    visit.send_chunk(chunk)
    visit.until(chunk)


@pytest.mark.parametrize("path", STREAMS)
def test_stream_in_lock_step(path: str, bridged: Site) -> None:
    """Each chunk comes back before the next one is sent, after a pause, too."""
    with bridged.visit(path, "PUT", key=bridged.key()) as visit:
        for number, chunk in enumerate(CHUNKS):
            if number == 2:
                assert visit.is_silent(0.15)
            echoed(visit, chunk)
        visit.send_chunk(b"")
        visit.until(b"0\r\n\r\n")


@pytest.mark.parametrize("path", STREAMS)
def test_stream_of_a_slow_body(path: str, bridged: Site) -> None:
    with bridged.visit(path, "PUT", key=bridged.key()) as visit:
        for chunk in CHUNKS:
            visit.send_chunk(chunk)
            time.sleep(0.01)  # it is a slow client
        visit.send_chunk(b"")
        answer = visit.answer()
    assert (answer.status, answer.body, answer.whole) == (200, b"".join(CHUNKS), True)


@pytest.mark.parametrize("path", ["bodies/file", "bodies-http/file", "bodies/short"])
def test_response_while_the_body_is_unread(path: str, bridged: Site) -> None:
    """It is whole, though its framework does not listen and the client still sends."""
    key = bridged.key()
    with bridged.visit(path, "PUT", key=key) as visit:
        for chunk in CHUNKS:
            visit.send_chunk(chunk)
        visit.send_chunk(b"")
        answer = visit.answer()
    whole = Path(bodies.FILE).read_bytes() if "file" in path else b"done"
    assert (answer.status, answer.body) == (200, whole)


@pytest.mark.parametrize("path", ["bodies/stream", "bodies-http/stream", "bodies/thinking"])
def test_departure_in_the_middle_of_an_upload(path: str, bridged: Site) -> None:
    key, log = bridged.key(), bridged.log()
    with bridged.visit(path, "PUT", key=key) as visit:
        echoed(visit, CHUNKS[1])
    bridged.until_noted(key, ["met ClientDisconnect", "closed"])
    assert log.tracebacks == 0, log.text


@pytest.mark.parametrize("path", ["bodies/thinking", "bodies-http/thinking"])
def test_departure_after_the_upload(path: str, bridged: Site) -> None:
    """The body has ended while the response streamed, and the client leaves while that is idle."""
    key, log = bridged.key(), bridged.log()
    with bridged.visit(path, "PUT", key=key) as visit:
        echoed(visit, CHUNKS[1])
        visit.send_chunk(b"")
        bridged.until_noted(key, ["end", "closed"])
    bridged.until_noted(key, ["end", "closed", "idle met CancelledError"])
    assert log.tracebacks == 0, log.text


def test_listener_beside_an_opened_body(bridged: Site) -> None:
    """sse-starlette listens while the body comes slowly."""
    with bridged.visit("bodies/sse", "PUT", key=bridged.key()) as visit:
        for chunk in CHUNKS:
            visit.send_chunk(chunk)
            time.sleep(0.01)
        visit.send_chunk(b"")
        visit.until(b"data: %d bytes" % sum(map(len, CHUNKS)))


def posted(kind: str) -> Mapping[str, Any]:
    """What is sent to one of them."""
    if kind == "opening-gunzip":
        return {"headers": ["content-encoding: gzip"], "body": gzip.compress(TEXT)}
    return {"body": TEXT}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", OPENING)
def test_all_ways_give_the_same_body(kind: str, way: str, bridged: Site) -> None:
    """As `request.stream()` gives it at the same place."""
    answer = bridged.ask(f"{kind}/{way}", "POST", **posted(kind))
    assert answer.status == 200
    assert answer.body in DESCRIBED


@pytest.mark.parametrize("way", WAYS)
def test_limit_in_between_holds(way: str, bridged: Site) -> None:
    with bridged.visit(f"opening-limit/{way}", "POST") as visit:
        visit.send_chunk(TEXT)
        visit.send_chunk(b"")
        assert visit.answer().status == 413
    assert bridged.ask(f"opening-limit/{way}", "POST", body=TEXT).status == 413
    assert bridged.ask(f"opening-limit/{way}", "POST", body=b"plain").status == 200


def test_scope_alone_behind_a_replaced_receive(bridged: Site) -> None:
    """An error, and not other bytes."""
    log = bridged.log()
    answer = bridged.ask("opening-gunzip/open-scope", "POST", **posted("opening-gunzip"))
    assert answer.status == 500
    log.until("ReceiveReplaced")


@pytest.mark.parametrize("kind", ["opening", "opening-passing"])
def test_exception_handler_reads_an_opened_body(kind: str, bridged: Site) -> None:
    """It ends, within a bounded time: with an error, or with an answer."""
    with ExitStack() as stack:
        visits = {
            how: stack.enter_context(bridged.visit(f"{kind}/fail/{how}", "POST", body=TEXT))
            for how in ("none", "some", "all")
        }
        answers = {how: visit.answer() for how, visit in visits.items()}
    assert {how: answer.status for how, answer in answers.items()} == dict.fromkeys(visits, 400)


@pytest.mark.matrix  # it takes more than the time after which a receive() in vain raises
def test_pending_listener_is_not_hurt(bridged: Site) -> None:
    """It hears of nothing, and is there until the end."""
    key = bridged.key()
    with bridged.visit("listening/", "PUT", key=key) as visit:
        bridged.until_noted(f"{key}-claimed", ["claimed"])
        visit.send_chunk(CHUNKS[0])
        assert visit.is_silent(3)
        visit.send_chunk(CHUNKS[1])
        visit.send_chunk(b"")
        assert visit.answer().status == 200
    total = len(CHUNKS[0] + CHUNKS[1])
    assert bridged.notes(key)[0] == f"{total} bytes"
    assert "BodyAlreadyClaimed" not in bridged.notes(key)


@pytest.mark.parametrize("kind", ["halved/stream", "halved-handler/"])
def test_half_duplex_with_a_100(kind: str, bridged: Site) -> None:
    """The start is held until the client has sent all, of an application as of a handler."""
    headers = ["expect: 100-continue"]
    with bridged.visit(kind, "PUT", headers=headers, key=bridged.key()) as visit:
        visit.until(b"HTTP/1.1 100")
        visit.send_chunk(CHUNKS[1])
        assert visit.is_silent(0.15)
        visit.send_chunk(CHUNKS[2])
        visit.send_chunk(b"")
        seen = visit.until(CHUNKS[2])
    assert b"HTTP/1.1 200" in seen
    assert CHUNKS[1] in seen
