"""Whatever a client or a server hands over: an answer or an error, and never a wait or a lie."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asgi_bridge import Limits, Request, Response, WorkerPool, handler
from asgi_bridge.headers import ResponseHeaders
from asgi_bridge.testing import Exchange, request, scope_for

quickly = settings(deadline=None, suppress_health_check=list(HealthCheck))
POOL = WorkerPool(size=2, name="fuzz")

lengths = st.sampled_from([b"", b"0", b"3", b"6", b"-1", b"+3", b"3, 3", b"3,6", b" 3", b"1e1"])
odd_headers = st.lists(
    st.tuples(st.just(b"content-length"), lengths | st.binary(max_size=8))
    | st.tuples(st.just(b"transfer-encoding"), st.sampled_from([b"chunked", b"gzip", b""]))
    | st.tuples(st.just(b"expect"), st.sampled_from([b"100-continue", b"100-Continue", b"x"]))
    | st.tuples(st.binary(max_size=8), st.binary(max_size=8)),
    max_size=4,
)


@handler(limits=Limits(max_body_bytes=10, read_timeout=0.5), pool=POOL)
def echo(request: Request, response: Response) -> bytes:
    str(request.headers)
    return request.body.read()


@pytest.mark.anyio
@quickly
@given(headers=odd_headers, chunks=st.lists(st.binary(max_size=6), max_size=4))
async def test_request_heads_and_bodies(
    headers: list[tuple[bytes, bytes]], chunks: list[bytes]
) -> None:
    """A clean 200 has the whole body, within the limit; anything else says what it is."""
    script = [request(chunk, more_body=True) for chunk in chunks]
    exchange = Exchange(echo, scope_for(headers=headers), receive=[*script, request()], timeout=10)
    await exchange.run()
    body = b"".join(chunks)
    assert exchange.complete
    assert exchange.status in (200, 400, 413)
    if exchange.status == 200:
        assert exchange.body == body
        assert len(body) <= 10
    else:
        assert exchange.body in (b"Bad Request", b"Content Too Large", b"Request Entity Too Large")


@quickly
@given(
    name=st.text(max_size=12) | st.sampled_from(["x", "x\r\ny", "x:", "x ", ""]),
    value=st.text(max_size=12) | st.sampled_from(["a\r\nset-cookie: b", "a\nb", "a\0", "a\rb"]),
)
def test_response_headers_hold_one_header_each(name: str, value: str) -> None:
    headers = ResponseHeaders()
    try:
        headers[name] = value
    except ValueError:
        assert not headers
        return
    ((raw_name, raw_value),) = headers.raw()
    assert raw_name.decode("ascii") == name.lower()
    assert raw_value.decode("latin-1") == value
    assert not set(b"\r\n\0") & set(raw_name + raw_value)
    assert not set(b": \t") & set(raw_name)
