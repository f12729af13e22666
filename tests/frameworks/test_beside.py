"""What streams no request body passes as if the bridge were not there: files, sockets, state."""

import asyncio
import http.client
from collections.abc import Iterator
from contextlib import closing

import aiohttp
import pytest

from tests.servers.processes import COMMANDS, LIMIT, Server, serving

from .beside import FILE, REFUSAL
from .test_echo import SERVER

# One in the ordinary run, the others in `make matrix`.
SERVERS = [
    pytest.param(name, marks=() if name == SERVER else pytest.mark.matrix) for name in COMMANDS
]

CONTENT = FILE.read_bytes()
BOUNDARY = "multipart/byteranges; boundary="
UPLOAD = bytes(1_000_000)


@pytest.fixture(scope="module", params=SERVERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server with the application of `beside`."""
    directory = tmp_path_factory.mktemp(request.param)
    with serving(request.param, "tests.frameworks.beside:app", directory) as it:
        yield it
    assert "Traceback" not in it.log.read_text()


@pytest.fixture
def client(server: Server) -> Iterator[http.client.HTTPConnection]:
    """A connection that is used for all requests of a test."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT)) as it:
        yield it


def fetched(
    client: http.client.HTTPConnection, method: str = "GET", body: bytes | None = None, **more: str
) -> tuple[http.client.HTTPResponse, bytes]:
    """Ask for the file, with some headers."""
    headers = {name.replace("_", "-"): value for name, value in more.items()}
    client.request(method, "/file", body, headers)
    response = client.getresponse()
    return response, response.read()


def test_whole_file(client: http.client.HTTPConnection) -> None:
    for _ in range(2):
        response, body = fetched(client)
        assert (response.status, body) == (200, CONTENT)
        assert response.getheader("content-length") == str(len(CONTENT))


def test_head_of_a_file(client: http.client.HTTPConnection) -> None:
    response, body = fetched(client, "HEAD")
    assert (response.status, body) == (200, b"")
    assert response.getheader("content-length") == str(len(CONTENT))
    assert fetched(client)[1] == CONTENT  # the connection is as good as new


@pytest.mark.parametrize(
    ("asked", "due"),
    [("0-3", CONTENT[:4]), ("10-", CONTENT[10:]), ("-5", CONTENT[-5:])],
)
def test_range_of_a_file(asked: str, due: bytes, client: http.client.HTTPConnection) -> None:
    response, body = fetched(client, range=f"bytes={asked}")
    assert (response.status, body) == (206, due)
    assert (response.getheader("content-range") or "").endswith(f"/{len(CONTENT)}")


def test_ranges_of_a_file(client: http.client.HTTPConnection) -> None:
    response, body = fetched(client, range="bytes=0-3,100-109")
    assert response.status == 206
    kind = response.getheader("content-type") or ""
    assert kind.startswith(BOUNDARY)
    parts = body.split(f"--{kind.removeprefix(BOUNDARY)}".encode())
    chunks = [part.partition(b"\r\n\r\n")[2].strip(b"\r\n") for part in parts[1:-1]]
    assert chunks == [CONTENT[:4], CONTENT[100:110]]


def test_range_that_is_none(client: http.client.HTTPConnection) -> None:
    response, _ = fetched(client, range=f"bytes={len(CONTENT)}-")
    assert response.status == 416
    assert fetched(client)[1] == CONTENT


def test_range_of_another_version_is_the_whole(client: http.client.HTTPConnection) -> None:
    response, body = fetched(client, range="bytes=0-3", if_range='"another"')
    assert (response.status, body) == (200, CONTENT)


def test_file_in_answer_to_an_upload_that_nobody_reads(client: http.client.HTTPConnection) -> None:
    for _ in range(2):
        response, body = fetched(client, "PUT", UPLOAD)
        assert (response.status, body) == (200, CONTENT)


def test_state_of_the_lifespan(client: http.client.HTTPConnection) -> None:
    client.request("GET", "/state")
    assert client.getresponse().read() == b"by the lifespan"


async def talk(server: Server) -> None:
    url = f"http://127.0.0.1:{server.port}/echo"
    chunks = [bytes([number]) * 10**number for number in range(6)]
    async with aiohttp.ClientSession() as session, session.ws_connect(url, protocols=["x"]) as it:
        assert it.protocol == "x"
        assert await it.receive_str() == "by the lifespan"
        for chunk in chunks:
            await it.send_bytes(chunk)
            assert await it.receive_bytes() == chunk


def test_websocket(server: Server) -> None:
    asyncio.run(asyncio.wait_for(talk(server), LIMIT))


def test_websocket_that_is_denied_with_a_response(client: http.client.HTTPConnection) -> None:
    upgrade = {"connection": "upgrade", "upgrade": "websocket"}
    key = {"sec-websocket-key": "MDEyMzQ1Njc4OWFiY2RlZg==", "sec-websocket-version": "13"}
    client.request("GET", "/refuse", headers=upgrade | key)
    response = client.getresponse()
    assert (response.status, response.read()) == (418, REFUSAL.encode())
