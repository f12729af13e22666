"""What is done after a response, on real servers, and what becomes of it when the client leaves."""

import re

import pytest

from .client import Answer, connected
from .processes import Server

pytestmark = pytest.mark.asyncio


async def noted(server: Server) -> str:
    """What an application has noted next."""
    async with connected(server) as client:
        await client.request("/noted", content_length="0")
        await client.end()
        answer = await client.answer()
    assert answer.status == 200
    return answer.body.decode()


@pytest.mark.parametrize(
    ("path", "body"), [("whole", b"Hello"), ("stream", b"chunk" * 3)], ids=["whole", "stream"]
)
async def test_background_task_runs_after_the_response(
    path: str, body: bytes, server: Server
) -> None:
    async with connected(server) as client:
        await client.request(f"/afterwards/{path}", content_length="0")
        await client.end()
        assert await client.answer() == Answer(200, body)
    assert [await noted(server), await noted(server)] == ["background", "cleaned up"]


async def test_client_leaves_with_all_of_its_response(server: Server) -> None:
    async with connected(server) as client:
        await client.request("/parting", content_length="0")
        await client.end()
        assert await client.head() == 200
        assert await client.read(5) == b"Hello"
        client.cut()
    assert await noted(server) == "afterwards"


async def test_client_leaves_in_the_middle(server: Server) -> None:
    """Starlette runs the background task of a response then, too, as it does without the bridge."""
    before = len(server.log.read_text())
    async with connected(server) as client:
        await client.request("/afterwards/stream?wanted=100000", content_length="0")
        await client.end()
        assert await client.head() == 200
        assert await client.read(5) == b"chunk"
        client.cut()
    assert [await noted(server), await noted(server)] == ["background", "cleaned up"]
    log = server.log_after(before)
    assert not re.search("traceback|exception", log, re.IGNORECASE), log
