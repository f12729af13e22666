"""Request and response at the same time: large bodies, and lock-step."""

import asyncio

import pytest

from .client import BODY, Answer, Client, connected
from .processes import Server

pytestmark = pytest.mark.asyncio

# They answer each chunk as it comes, in upper case or as it is.
STREAMING = ("/upper", "/cured/", "/fastapi_app/upper", "/fastapi_app/echo", "/starlette_app/echo")


@pytest.mark.parametrize("framing", ["content-length", "chunked"])
@pytest.mark.parametrize("path", STREAMING)
async def test_large_body_comes_back_intact(path: str, framing: str, server: Server) -> None:
    headers = {"content_length": str(len(BODY))} if framing == "content-length" else {}
    async with connected(server) as client, asyncio.TaskGroup() as tasks:
        await client.request(path, **headers)
        tasks.create_task(client.upload(BODY))
        answer = await client.answer()
    assert answer == Answer(200, BODY.upper() if "upper" in path else BODY)


@pytest.mark.parametrize("path", STREAMING)
async def test_lock_step_and_keep_alive(path: str, server: Server) -> None:
    async with connected(server) as client:
        for _ in range(2):  # the second one on the same connection
            await lock_step(client, path)
            client.next_request()


async def test_many_lock_step_clients_at_once(server: Server) -> None:
    async def one(number: int) -> None:
        async with connected(server) as client:
            await lock_step(client, "/upper", b"client %d" % number)

    async with asyncio.TaskGroup() as tasks:
        for number in range(20):  # half of the pool: so many may take part without being ready
            tasks.create_task(one(number))


async def lock_step(client: Client, path: str, start: bytes = b"chunk") -> None:
    """Send each chunk only when the one before it has been answered."""
    await client.request(path)
    for number in range(5):
        chunk = b"%s %d " % (start, number)
        await client.send(chunk)
        if number == 0:
            assert await client.head() == 200
        assert await client.read(len(chunk)) == (chunk.upper() if "upper" in path else chunk)
    await client.end()
    assert await client.rest() == b""


async def test_without_the_bridge_uvicorn_answers_with_nothing(uvicorn: Server) -> None:
    """What the README says of `StreamingResponse(request.stream())`; see also `/cured` above."""
    async with connected(uvicorn) as client:
        await client.request("/lossy/")
        assert await client.head() == 200
        await client.upload(b"aabbcc")
        assert await client.rest() == b""
