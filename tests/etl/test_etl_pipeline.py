"""The pipeline header and the URLs that come of it, as the wire contract has them."""

import pytest

from asgi_bridge.etl.pipeline import (
    InvalidPipelineError,
    compose_etl_direct_put_url,
    compose_upstream_url,
    is_http_url,
    is_target,
    parse_etl_pipeline,
)

HOST = "http://10.0.0.1:51081/v1/etl/_object/my-etl/s3cr3t"
PREFIX = "/v1/etl/_object/my-etl/s3cr3t"
TARGET = "http://10.0.0.2:51081"
STAGE = "http://10.0.0.3:30001"
NAME = "/ais%2F@%23%2Fdst%2Fobj"
ARGS = "etl_args=%7B%22a%22%3A%22b+c%22%7D"


@pytest.mark.parametrize(
    ("header", "first", "rest"),
    [
        ("", "", ""),
        ("   ", "", ""),
        ("http://a", "http://a", ""),
        (" http://a ", "http://a", ""),
        ("http://a,http://b", "http://a", "http://b"),
        (" http://a , http://b ,http://c ", "http://a", "http://b ,http://c"),
        ("http://a/x?y=1,2", "http://a/x?y=1", "2"),
    ],
)
def test_parse(header: str, first: str, rest: str) -> None:
    assert parse_etl_pipeline(header) == (first, rest)


@pytest.mark.parametrize("header", [",,,,", "a,,b", "a,", ",a", "a, ,b"])
def test_parse_refuses_empty_entries(header: str) -> None:
    with pytest.raises(InvalidPipelineError, match="Pipeline header contains empty entry"):
        parse_etl_pipeline(header)


@pytest.mark.parametrize(
    ("node", "path", "etl_args", "url"),
    [
        (f"{TARGET}{NAME}?owt=6", "src/obj", "", f"{TARGET}{PREFIX}{NAME}?owt=6"),
        (f"{TARGET}{NAME}?o=6", "o", '{"a":"b c"}', f"{TARGET}{PREFIX}{NAME}?o=6&{ARGS}"),
        (
            f"{TARGET}/x?etl_args=old&owt=6&blank=",
            "o",
            "new",
            f"{TARGET}{PREFIX}/x?owt=6&blank=&etl_args=new",
        ),
        (f"{TARGET}/x?etl_args=old&owt=6", "o", "", f"{TARGET}{PREFIX}/x?etl_args=old&owt=6"),
        (STAGE, "src/obj", "", f"{STAGE}/src/obj"),
        (STAGE, "src/obj", "jpeg", f"{STAGE}/src/obj?etl_args=jpeg"),
        (
            STAGE,
            "src/a b#c?d%e@f+g.bin",
            "",
            f"{STAGE}/src/a%20b%23c%3Fd%25e@f%2Bg.bin",
        ),
        (STAGE, "ais/@#/src/obj", "", f"{STAGE}/ais/@%23/src/obj"),
        (f"{STAGE}/", "src/obj", "", f"{STAGE}{PREFIX}/"),
        ("https://10.0.0.3:1", "src/obj", "", "https://10.0.0.3:1/src/obj"),
        (f"{TARGET}/x#frag", "o", "", f"{TARGET}{PREFIX}/x"),
        (STAGE, "", "", STAGE),
    ],
)
def test_compose(node: str, path: str, etl_args: str, url: str) -> None:
    assert compose_etl_direct_put_url(node, HOST, path, etl_args) == url


def test_the_scheme_is_the_nodes_own() -> None:
    url = compose_etl_direct_put_url(f"{TARGET}/x", "https://t:1/v1/etl/_object/e/s/", "o", "")
    assert url == f"{TARGET}/v1/etl/_object/e/s//x"


@pytest.mark.parametrize(
    ("path", "latest", "end"),
    [
        ("ais/@#/bck/obj", "", "/ais%2F@%23%2Fbck%2Fobj"),
        ("b/o", "true", "/b%2Fo?latest-ver=true"),
    ],
)
def test_upstream(path: str, latest: str, end: str) -> None:
    assert compose_upstream_url(HOST, path, latest) == HOST + end


@pytest.mark.parametrize(
    "node", ["not a url", "ftp://a/b", "http://", "http://a:x/", "http://a:0", "http://[/"]
)
def test_what_is_no_url(node: str) -> None:
    assert not is_http_url(node)


def test_a_path_makes_a_target() -> None:
    assert is_http_url(STAGE)
    assert [is_target(node) for node in (STAGE, f"{STAGE}/", f"{STAGE}?a=b")] == [
        False,
        True,
        False,
    ]
