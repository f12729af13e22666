"""How exchanges begin and end that do not go as the client wished."""

import asyncio
import re
from http import HTTPStatus

import pytest

from .client import BODY, Answer, Truncated, connected
from .processes import Server

pytestmark = pytest.mark.asyncio


async def test_upload_cut_off(server: Server) -> None:
    before = len(server.log.read_text())
    async with connected(server) as client:
        await client.request("/upload", content_length="1000000")
        await client.send(b"x" * 1000)
        assert await client.head() == 200
        assert await client.read(7) == b"reading"
        client.cut()
    async with connected(server) as client:
        await client.request("/met", content_length="0")
        await client.end()
        assert await client.answer() == Answer(200, b"ClientDisconnected")
    async with connected(server) as client:
        await client.request("/upper")
        await client.upload(b"abc")
        assert await client.answer() == Answer(200, b"ABC")
    log = server.log_after(before)
    assert not re.search("traceback|exception", log, re.IGNORECASE), log
    assert log.count("\n") <= 1, log


@pytest.mark.parametrize("framing", ["content-length", "chunked"])
async def test_early_413_while_the_upload_runs(framing: str, server: Server) -> None:
    headers = {"content_length": str(len(BODY))} if framing == "content-length" else {}
    async with connected(server) as client, asyncio.TaskGroup() as tasks:
        await client.request("/limited", **headers)
        tasks.create_task(client.upload(BODY))
        answer = await client.answer()
    assert answer == Answer(413, HTTPStatus(413).phrase.encode())


async def test_early_413_for_an_upload_that_stalls(server: Server) -> None:
    async with connected(server) as client:
        await client.request("/impatient", content_length=str(len(BODY)))
        await client.send(BODY[:100_000])
        assert (await client.answer()).status == 413


async def test_100_continue_comes_with_the_first_read(server: Server) -> None:
    async with connected(server) as client:
        await client.request("/upper", content_length="3", expect="100-continue")
        assert await client.head() == 100
        await client.upload(b"abc")
        assert await client.answer() == Answer(200, b"ABC")


async def test_100_continue_does_not_come_for_a_refusal(server: Server) -> None:
    async with connected(server) as client:
        await client.request("/refusing", content_length="3", expect="100-continue")
        if server.name.startswith("hypercorn"):
            assert await client.head() == 100  # it answers on its own, before it calls anyone
        assert await client.answer() == Answer(403, b"Forbidden")


async def test_failure_before_the_first_byte_is_a_500(server: Server) -> None:
    async with connected(server) as client:
        await client.request("/failing")
        await client.upload(b"abc")
        assert await client.answer() == Answer(500, b"Internal Server Error")


async def test_failure_after_the_first_byte_cuts_the_connection(server: Server) -> None:
    async with connected(server) as client:
        await client.request("/breaking")
        await client.upload(b"abc")
        assert await client.head() == 200
        assert await client.read(5) == b"first"
        with pytest.raises(Truncated):
            await client.rest()


async def test_failure_after_the_first_byte_cuts_a_client_that_still_sends(server: Server) -> None:
    async with connected(server) as client, asyncio.TaskGroup() as tasks:
        await client.request("/breaking_early")
        tasks.create_task(client.upload(BODY * 4))
        with pytest.raises((Truncated, ConnectionError)):  # most servers reset it
            await client.answer()
