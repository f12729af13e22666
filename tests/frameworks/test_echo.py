"""Applications that stream their request's body into their response: intact to the byte.

On one server; `make matrix` asks all of them, see tests/matrix.
"""

import asyncio
import gzip
from collections.abc import Iterator, Sequence
from typing import Final

import pytest

from tests.servers.client import BODY, Answer, Client, connected
from tests.servers.processes import Server, serving

from .apps import APPS, WHOLE

pytestmark = pytest.mark.asyncio

SERVER: Final = "uvicorn-httptools"
CHUNKS: Final[Sequence[bytes]] = [b"%d " % number * 50 for number in range(6)]
PAUSE: Final = 0.01  # seconds between the chunks of the slow client


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server with all applications of the table."""
    with serving(SERVER, "tests.frameworks.apps:app", tmp_path_factory.mktemp(SERVER)) as it:
        yield it
    log = it.log.read_text()
    assert "Traceback" not in log, log
    assert "never retrieved" not in log, log


@pytest.fixture(params=["content-length", "chunked"])
def framing(request: pytest.FixtureRequest) -> str:
    """How the request says where its body ends."""
    kind: str = request.param
    return kind


@pytest.fixture(params=APPS)
def name(request: pytest.FixtureRequest) -> str:
    """One of the applications."""
    chosen: str = request.param
    return chosen


async def start(client: Client, name: str, framing: str, length: int, **headers: str) -> None:
    """Send the head of a request to one of the applications."""
    if framing == "content-length":
        headers["content_length"] = str(length)
    await client.request(f"/{name}/", **headers)


def coding(name: str) -> dict[str, str]:
    """What to accept, so that the middleware that compresses has something to do."""
    return {"accept_encoding": "gzip"} if name.endswith("-gzip") else {}


def decoded(name: str, answer: Answer) -> Answer:
    """The answer without the content coding that was asked for."""
    return Answer(answer.status, gzip.decompress(answer.body)) if coding(name) else answer


async def send_slowly(client: Client) -> None:
    for chunk in CHUNKS:
        await client.send(chunk)
        await asyncio.sleep(PAUSE)
    await client.end()


async def test_fast_client(name: str, framing: str, server: Server) -> None:
    async with connected(server) as client, asyncio.TaskGroup() as tasks:
        await start(client, name, framing, len(BODY), **coding(name))
        tasks.create_task(client.upload(BODY))
        answer = await client.answer()
    assert decoded(name, answer) == Answer(200, BODY)


async def test_slow_client(name: str, framing: str, server: Server) -> None:
    body = b"".join(CHUNKS)
    async with connected(server) as client, asyncio.TaskGroup() as tasks:
        await start(client, name, framing, len(body), **coding(name))
        tasks.create_task(send_slowly(client))
        answer = await client.answer()
    assert decoded(name, answer) == Answer(200, body)


@pytest.mark.parametrize("name", [name for name in APPS if name not in WHOLE], indirect=True)
async def test_lock_step_client(name: str, framing: str, server: Server) -> None:
    async with connected(server) as client:
        for _ in range(2):  # the second one on the same connection
            await start(client, name, framing, sum(map(len, CHUNKS)))
            for number, chunk in enumerate(CHUNKS):
                await client.send(chunk)
                if number == 0:
                    assert await client.head() == 200
                assert await client.read(len(chunk)) == chunk
            await client.end()
            assert await client.rest() == b""
            client.next_request()


async def test_background_task_runs(framing: str, server: Server) -> None:
    name = f"starlette-background/?name={framing}"
    async with connected(server) as client:
        await client.request(f"/{name}")
        await client.upload(b"body")
        assert await client.answer() == Answer(200, b"body")
    async with connected(server) as client:
        await client.request(f"/starlette-background/ran?name={framing}")
        await client.end()
        assert await client.answer() == Answer(200, framing.encode())
