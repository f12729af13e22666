"""What the checks say of servers that do wrong: scripted bytes in, the finding out."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import pytest

from asgi_bridge.doctor.checks import CHECKS
from asgi_bridge.doctor.clients.base import Broken
from asgi_bridge.doctor.clients.h1 import H1Connection
from asgi_bridge.doctor.outcomes import Finding, Outcome, intact
from asgi_bridge.doctor.probe import BARE, Column, Session
from asgi_bridge.doctor.processes import Processes, listens
from asgi_bridge.doctor.rows import ROWS

HELLO = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[int]:
    """A server whose connections answer the first head with the first answer, and so on; its port.

    It closes a connection when it has no more answers; what is sent beside heads it throws away.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, OSError):
            for answer in answers:
                await reader.readuntil(b"HTTP/1.1\r\n")
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def asked(check: str, answers: Sequence[bytes]) -> Finding:
    async def ask() -> Finding:
        async with (
            asyncio.timeout(10),
            answering(*answers) as port,
            Session(ROWS["uvicorn-h11"], port, None) as session,
        ):
            return await CHECKS[check].ask(session)

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("check", "answers", "finding"),
    [
        ("early-answer", [NOT_FOUND], Finding(Outcome.WRONG, "404 instead of 413")),
        ("early-answer", [b"HTTP/1.1 413 -\r\ncontent-length: 0\r\n\r\n"], Outcome.BROKEN),
        ("continue-answered", [HELLO], Outcome.MISSED),
        ("others-run", [b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n0"], Outcome.MISSED),
        ("raises-before-start", [HELLO], Finding(Outcome.WRONG, "200 instead of 500")),
        ("raises-before-start", [HELLO[:-1]], Outcome.BROKEN),
        ("no-content", [b"HTTP/1.1 204 -\r\n\r\n", HELLO], Outcome.OK),
        ("raises-midway", [HELLO], Outcome.FALSE_END),
        ("raises-midway", [b"HTTP/1.1 200 -\r\n\r\nfirst"], Outcome.FALSE_END),
        ("raises-midway", [b"nonsense\r\n\r\n"], Outcome.OK),
        (
            "raises-midway",
            [b"HTTP/1.1 200 -\r\ntransfer-encoding: chunked\r\n\r\nmuch\r\n"],
            Outcome.OK,
        ),
        ("body-too-short", [HELLO, HELLO], Outcome.OK),
        ("body-too-short", [HELLO], Outcome.OK),
        ("body-too-long", [HELLO + b"more", HELLO], Outcome.DESYNC),
        ("body-too-long", [HELLO, NOT_FOUND], Outcome.DESYNC),
        ("head", [b"HTTP/1.1 405 -\r\n\r\n"], Outcome.WRONG),
        ("head", [HELLO[:-5], HELLO], Outcome.OK),
        ("head", [HELLO, HELLO], Outcome.DESYNC),
        ("lifespan", [b"HTTP/1.1 200 -\r\ncontent-length: 0\r\n\r\n"], Outcome.NOT_OFFERED),
        ("lifespan", [HELLO], Outcome.MISSED),
        ("websocket", [NOT_FOUND], Outcome.NOT_OFFERED),
        ("spec-version", [b"HTTP/1.1 200 -\r\ncontent-length: 3\r\n\r\n2.5"], Outcome.OK),
        (
            "others-run",
            [b"HTTP/1.1 200 -\r\ncontent-length: 4\r\n\r\n..60"],
            Outcome.OK,
        ),
    ],
)
def test_finding(check: str, answers: list[bytes], finding: Finding | Outcome) -> None:
    found = asked(check, answers)
    assert (found if isinstance(finding, Finding) else found.outcome) == finding


def test_changed_bytes_are_a_loss() -> None:
    assert intact(b"ab", b"ac").detail == "all 2 bytes came, but not the right ones"


def test_connection_that_is_reset_is_broken() -> None:
    async def ask() -> None:
        async with asyncio.timeout(10), answering(b"HTTP/1.1 200 -\r\n\r\nfirst") as port:
            connection = await H1Connection.open(port)
            exchange = await connection.request("GET", "/")
            await exchange.head()
            connection.reader.set_exception(ConnectionResetError("reset"))
            with pytest.raises(Broken, match="reading: reset"):
                await exchange.read()
            await connection.close()

    asyncio.run(ask())


def test_server_that_is_gone(tmp_path: object) -> None:
    """A column tells a server that answers nobody from one that answers wrongly."""

    async def ask() -> Finding:
        column = Column(ROWS["uvicorn-h11"], BARE, Processes(None, None), print)  # type: ignore[arg-type] # nothing is started
        async with asyncio.timeout(10), answering(b"nonsense\r\n\r\n") as port:
            pass
        assert not listens(port)
        return await column._ask("spec-version", port)

    finding = asyncio.run(ask())
    assert finding.outcome is Outcome.GONE
    assert finding.detail.startswith("broken: ")


@pytest.mark.parametrize(
    ("seen", "detail"),
    [
        (b"abc", ""),
        (b"abd", "all 3 bytes came, but not the right ones"),
        (b"a", "1 of 3 bytes came"),
    ],
)
def test_what_a_body_has_come_to(seen: bytes, detail: str) -> None:
    finding = intact(seen, b"abc")
    assert finding.detail == detail
    assert finding.outcome is (Outcome.LOST if detail else Outcome.OK)
