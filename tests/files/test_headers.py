"""Headers as mappings: of a request, to be read; of a response, to be set until it starts."""

from collections.abc import Callable

import pytest

from asgi_bridge import ResponseStarted
from asgi_bridge.headers import RequestHeaders, ResponseHeaders

RAW = [(b"host", b"example.org"), (b"Accept", b"a/b"), (b"accept", b"c/d"), (b"x-name", b"J\xf6rg")]


# Of a request.


def test_request_headers_are_a_mapping_without_regard_to_case() -> None:
    headers = RequestHeaders(RAW)
    assert dict(headers) == {"host": "example.org", "accept": "a/b, c/d", "x-name": "Jörg"}
    assert (len(headers), list(headers)) == (3, ["host", "accept", "x-name"])
    assert headers["HOST"] == headers["host"] == headers.get("Host")
    assert "X-Name" in headers
    assert headers == {"host": "example.org", "accept": "a/b, c/d", "x-name": "Jörg"}
    assert repr(headers) == f"RequestHeaders({dict(headers)!r})"


def test_repeated_request_headers_come_apart() -> None:
    headers = RequestHeaders(iter(RAW))
    assert headers.get_all("ACCEPT") == ["a/b", "c/d"]
    assert headers.get_all("host") == ["example.org"]
    assert headers.get_all("cookie") == []


@pytest.mark.parametrize("name", ["cookie", "", "żółw"])
def test_an_absent_request_header(name: str) -> None:
    headers = RequestHeaders(RAW)
    assert headers.get(name) is None
    assert name not in headers
    with pytest.raises(KeyError) as caught:
        headers[name]
    assert caught.value.args == (name,)


def test_no_request_headers() -> None:
    headers = RequestHeaders([])
    assert (dict(headers), len(headers), bool(headers)) == ({}, 0, False)


# Of a response.


def test_response_headers_are_a_mapping_without_regard_to_case() -> None:
    headers = ResponseHeaders()
    headers["Content-Type"] = "text/plain"
    headers["X-One"] = "1"
    headers["x-one"] = "uno"
    headers.update({"X-Two": "2"}, X_three="3")
    assert headers.setdefault("CONTENT-TYPE", "text/csv") == "text/plain"
    assert headers.pop("x-TWO") == "2"
    assert dict(headers) == {"content-type": "text/plain", "x-one": "uno", "x_three": "3"}
    assert (len(headers), "X-ONE" in headers, headers.get("x-two")) == (3, True, None)
    assert repr(headers) == f"ResponseHeaders({dict(headers)!r})"
    assert headers.raw() == [
        (b"content-type", b"text/plain"),
        (b"x-one", b"uno"),
        (b"x_three", b"3"),
    ]


def test_add_keeps_what_is_there_and_setting_replaces_it() -> None:
    headers = ResponseHeaders()
    headers.add("Set-Cookie", "a=1")
    headers["vary"] = "accept"
    headers.add("set-cookie", "b=2")
    assert headers.get_all("SET-cookie") == ["a=1", "b=2"]
    assert headers["set-cookie"] == "a=1, b=2"
    assert headers.raw() == [
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"vary", b"accept"),
    ]
    again = ResponseHeaders()
    again.add("set-cookie", "a=1")
    again.add("set-cookie", "b=2")
    again["set-cookie"] = "c=3"
    assert again.raw() == [(b"set-cookie", b"c=3")]


def test_what_get_all_gives_is_the_callers_own() -> None:
    headers = ResponseHeaders()
    headers["vary"] = "accept"
    headers.get_all("vary").append("x\r\ny")
    assert headers.get_all("vary") == ["accept"]
    assert headers.get_all("absent") == []


def test_an_absent_response_header() -> None:
    headers = ResponseHeaders()
    with pytest.raises(KeyError):
        headers["vary"]
    with pytest.raises(KeyError):
        del headers["vary"]


SETTERS: dict[str, Callable[[ResponseHeaders, str, str], object]] = {
    "set": lambda headers, name, value: headers.__setitem__(name, value),
    "add": lambda headers, name, value: headers.add(name, value),
    "setdefault": lambda headers, name, value: headers.setdefault(name, value),
}


@pytest.mark.parametrize("setter", SETTERS.values(), ids=SETTERS)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "1") for name in ("", "a b", "a:", "a\r\nb", "a\n", "a\0", "ä", "żółw", "a\t")),
        *(("a", value) for value in ("1\r\nb: 2", "1\n", "\r", "\n", "1\0", "źle")),
        *(("Content-Length", value) for value in ("", "-1", "1.0", " 1", "1_0", "²", "1, 1")),
    ],
    ids=repr,
)
def test_what_is_no_header_is_refused_where_it_is_set(
    setter: Callable[[ResponseHeaders, str, str], object], name: str, value: str
) -> None:
    headers = ResponseHeaders()
    with pytest.raises(ValueError):  # noqa: PT011  # also UnicodeEncodeError, with its own text
        setter(headers, name, value)
    assert headers.raw() == []


def test_a_second_content_length_is_refused() -> None:
    headers = ResponseHeaders()
    headers.add("content-length", "5")
    with pytest.raises(ValueError, match="one content-length"):
        headers.add("Content-Length", "5")
    headers["content-length"] = "6"
    assert headers.raw() == [(b"content-length", b"6")]
    assert headers.length == 6


def test_latin_1_is_sent_as_such() -> None:
    headers = ResponseHeaders()
    headers["x-name"] = "Jörg\t€"[:-1]
    assert headers.raw() == [(b"x-name", b"J\xf6rg\t")]


def test_nothing_changes_once_frozen() -> None:
    headers = ResponseHeaders()
    headers["vary"] = "accept"
    headers.freeze()
    frozen = headers.raw()
    changes: dict[str, Callable[[], object]] = {
        "set": lambda: headers.__setitem__("vary", "*"),
        "add": lambda: headers.add("vary", "*"),
        "delete": lambda: headers.__delitem__("vary"),
        "clear": lambda: headers.clear(),
    }
    for change in changes.values():
        with pytest.raises(ResponseStarted):
            change()
    assert headers["vary"] == "accept"
    assert headers.raw() == frozen == [(b"vary", b"accept")]


def test_request_name_above_ascii_is_found_again() -> None:
    headers = RequestHeaders([(b"\xc0", b"odd")])
    assert dict(headers) == {"\xc0": "odd"}
