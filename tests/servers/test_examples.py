"""Every example on every server, asked by the standard library's client."""

import ast
import gzip
import hashlib
import http.client
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from .processes import LIMIT, ROOT, Server, serving_by_command_line

Answer = Callable[[bytes], bytes]

ROWS: Final = "name,größe\n" + "".join(f"row {number},{number}\n" for number in range(5000))
CSV: Final = ROWS.encode()


def json_lines(body: bytes) -> bytes:
    rows = [line.split(",") for line in body.decode().splitlines()[1:]]
    made = [json.dumps({"name": name, "größe": size}) for name, size in rows]
    return "".join(f"{line}\n" for line in made).encode()


def reversed_lines(body: bytes) -> bytes:
    return b"".join(line[::-1] + b"\n" for line in body.splitlines())


def as_it_is(body: bytes) -> bytes:
    return body


# Each path of the examples: what undoes its coding, and what then must be there.
EXPECTED: Final[Mapping[str, tuple[Answer, Answer]]] = {
    "/bare_asgi": (zlib.decompress, as_it_is),
    "/csv_to_json_lines": (as_it_is, json_lines),
    "/digest": (as_it_is, lambda body: f"{hashlib.sha256(body).hexdigest()}\n".encode()),
    "/fastapi_app/echo": (as_it_is, as_it_is),
    "/fastapi_app/lines": (as_it_is, lambda body: b'{"lines":%d}' % body.count(b"\n")),
    "/fastapi_app/upper": (as_it_is, bytes.upper),
    "/gzip_body": (gzip.decompress, as_it_is),
    "/starlette_app/echo": (as_it_is, as_it_is),
    "/starlette_app/reversed/": (as_it_is, reversed_lines),
    "/starlette_app/size": (as_it_is, lambda body: b"%d\n" % len(body)),
    "/upper": (as_it_is, bytes.upper),
}

EXAMPLES: Final = sorted(file.stem for file in (ROOT / "examples").glob("[a-z]*.py"))


def put(server: Server, path: str, *, chunked: bool) -> tuple[int, bytes]:
    """Send the rows with the standard library's client, which writes all before it reads."""
    body = in_pieces(CSV) if chunked else CSV
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT)) as client:
        client.request("PUT", path, body, encode_chunked=chunked, headers=framing(chunked))
        response = client.getresponse()
        return response.status, response.read()


def framing(chunked: bool) -> dict[str, str]:
    return {"transfer-encoding": "chunked"} if chunked else {"content-length": str(len(CSV))}


def in_pieces(body: bytes) -> Iterator[bytes]:
    for position in range(0, len(body), 999):
        yield body[position : position + 999]


@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
@pytest.mark.parametrize("path", EXPECTED)
def test_example_on_server(path: str, chunked: bool, server: Server) -> None:
    decode, expected = EXPECTED[path]
    status, answer = put(server, path, chunked=chunked)
    assert (status, decode(answer)) == (200, expected(CSV))


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name != "demo"])
def test_example_by_its_own_command(name: str, tmp_path: Path) -> None:
    """The command in an example's docstring serves it, under the paths that are named there."""
    text = ast.get_docstring(ast.parse((ROOT / "examples" / f"{name}.py").read_text())) or ""
    target = text.partition("asgi-bridge serve ")[2].split()[0]
    below = re.findall(r"http://127\.0\.0\.1:8000(/\S*)", text)
    paths = {f"/{name}{path}" if path != "/" else f"/{name}": path for path in below}
    assert paths.keys() == {path for path in EXPECTED if path.split("/")[1] == name}
    with serving_by_command_line(target, tmp_path) as server:
        for path in paths:
            decode, expected = EXPECTED[path]
            status, answer = put(server, paths[path], chunked=False)
            assert (status, decode(answer)) == (200, expected(CSV))


def test_every_example_is_expected_to_do_something() -> None:
    assert {path.split("/")[1] for path in EXPECTED} | {"demo"} == set(EXAMPLES)


def test_csv_that_is_none_is_refused(server: Server) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT)) as client:
        client.request("PUT", "/csv_to_json_lines", b"name\n\xff\xfe\n")
        response = client.getresponse()
        assert response.status == 400
        assert response.read().startswith(b"this is not CSV in UTF-8: ")


def test_csv_that_breaks_late_is_cut(server: Server) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT)) as client:
        client.request("PUT", "/csv_to_json_lines", CSV * 10 + b"\xff\n")
        response = client.getresponse()
        assert response.status == 200
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            response.read()
