"""The same applications without a server: the clients that people test with.

TestClient hands over the whole body in one message, ASGITransport each chunk of the client's
generator, whose pending `receive()` must not be cancelled or asked twice; asgiref's communicator is
full duplex, and never says that the client has gone.
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from asgi_lifespan import LifespanManager
from asgiref.testing import ApplicationCommunicator
from httpx2 import ASGITransport, AsyncClient
from starlette.testclient import TestClient

from asgi_bridge.testing import request as message
from asgi_bridge.testing import scope_for
from asgi_bridge.types import ASGIApp

from . import beside
from .apps import APPS, ON_ASYNCIO, WHOLE, app

CHUNKS: Final = [b"%d " % number * 50 for number in range(6)]
BODY: Final = b"".join(CHUNKS)
# Django refuses a lifespan, and so do the bare ones. Falcon wants to be told of ASGI 3 in it, and
# neither asgi-lifespan nor TestClient tell it of any.
WITHOUT_LIFESPAN: Final = ("django", "falcon", "bare")
WITH_LIFESPAN: Final = [name for name in APPS if not name.startswith(WITHOUT_LIFESPAN)]

communicator: Final[Any] = ApplicationCommunicator  # asgiref has no types here
asyncio_only = pytest.mark.asyncio
named = pytest.mark.parametrize("name", APPS)


@asynccontextmanager
async def living(name: str) -> AsyncIterator[ASGIApp]:
    """The table, while the application of that name lives, if it does."""
    if name not in WITH_LIFESPAN:
        yield app
        return
    async with LifespanManager(APPS[name]):
        yield app


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@named
def test_test_client(name: str, backend: Any) -> None:
    if backend == "trio" and name.startswith(ON_ASYNCIO):
        pytest.skip("its framework needs asyncio")
    client = TestClient(app, backend=backend)
    for content in (BODY, iter(CHUNKS)):
        response = client.put(f"/{name}/", content=content)
        assert (response.status_code, response.content) == (200, BODY)
    with client.stream("PUT", f"/{name}/", content=BODY) as streamed:
        assert b"".join(streamed.iter_bytes()) == BODY


@pytest.mark.parametrize("name", WITH_LIFESPAN)
def test_test_client_with_the_lifespan(name: str) -> None:
    """Each by itself, mounted nowhere, so the paths are its own."""
    with TestClient(APPS[name], root_path=f"/{name.split('/')[0]}") as client:
        for _ in range(2):
            assert client.put(f"/{name}/", content=BODY).content == BODY


async def slowly() -> AsyncIterator[bytes]:
    for chunk in CHUNKS:
        await asyncio.sleep(0)
        yield chunk


@asyncio_only
@named
async def test_asgi_transport(name: str) -> None:
    async with (
        living(name) as it,
        AsyncClient(transport=ASGITransport(it), base_url="http://test") as client,
    ):
        for content in (BODY, slowly()):
            response = await client.put(f"/{name}/", content=content)
            assert (response.status_code, response.content) == (200, BODY)


@asyncio_only
@pytest.mark.parametrize("name", [name for name in APPS if name not in WHOLE])
async def test_communicator_in_lock_step(name: str) -> None:
    async with living(name) as it:
        talk = communicator(it, scope_for(path=f"/{name}/", method="PUT"))
        for number, chunk in enumerate(CHUNKS):
            await talk.send_input(message(chunk, more_body=True))
            if number == 0:
                assert (await talk.receive_output())["status"] == 200
            assert await body_of(talk, len(chunk)) == chunk
        await talk.send_input(message())
        while (last := await talk.receive_output()).get("more_body", False):
            assert last["body"] == b""
        await talk.wait()


@asyncio_only
@pytest.mark.filterwarnings("ignore:Unclosed file <tempfile.SpooledTemporaryFile")
@named
async def test_communicator_of_a_client_that_leaves(name: str) -> None:
    async with living(name) as it:
        talk = communicator(it, scope_for(path=f"/{name}/", method="PUT"))
        await talk.send_input(message(CHUNKS[0], more_body=True))
        if name not in WHOLE:
            await talk.receive_output()
            assert await body_of(talk, len(CHUNKS[0])) == CHUNKS[0]
        await talk.send_input({"type": "http.disconnect"})
        await talk.wait(timeout=5)
        # the bridge sends nothing any more; what is around it may, and BaseHTTPMiddleware does
        assert await talk.receive_nothing() or "base-outside" in name
    gc.collect()  # Django leaves the file that the body would be in to that, when send raises


async def body_of(talk: Any, count: int) -> bytes:
    """So many bytes of a response's body."""
    seen = b""
    while len(seen) < count:
        seen += (await talk.receive_output())["body"]
    return seen


@pytest.fixture
def client() -> Iterator[TestClient]:
    """A client of the application with what is not a streamed body."""
    with TestClient(beside.app) as client:
        yield client


def test_state_files_and_sockets(client: TestClient) -> None:
    content = beside.FILE.read_bytes()
    assert client.get("/state").text == "by the lifespan"
    assert client.get("/file").content == content
    part = client.get("/file", headers={"range": "bytes=3-7"})
    assert (part.status_code, part.content) == (206, content[3:8])
    with client.websocket_connect("/echo", subprotocols=["x"]) as socket:
        assert socket.receive_text() == "by the lifespan"
        socket.send_bytes(b"chunk")
        assert socket.receive_bytes() == b"chunk"
