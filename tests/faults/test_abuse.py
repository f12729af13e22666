"""Clients that mean harm: what they cost, and that the others are served."""

import asyncio
import os
import time
from collections.abc import Iterator
from typing import Final

import pytest

from ..servers.processes import Server, serving
from .census import census
from .peer import Call, Delivery, End, Order, call
from .runs import AT_ONCE, KEEP_ALIVE, get, look_when_settled

pytestmark = pytest.mark.asyncio

# `make soak` does it all ten times as often, on every server.
SCALE: Final = float(os.environ.get("ABUSE", "0.1"))
SERVERS: Final = ("hypercorn-asyncio", "hypercorn-trio", "uvicorn-httptools", "granian")
PATIENCE: Final = 10.0  # seconds until a small request is answered, whatever goes on; generous
MIB: Final = 1024 * 1024
PER_CLIENT: Final = 64 * 1024  # bytes of memory that a trickling client may cost
BLOCK: Final = b"b" * 16_384


@pytest.fixture(scope="module", params=SERVERS if SCALE >= 1 else SERVERS[:1])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """The command line's default, and the others in the long form."""
    name = request.param
    directory = tmp_path_factory.mktemp(name)
    with serving(name, "tests.faults.apps:app", directory, *KEEP_ALIVE[name]) as it:
        yield it


def scaled(count: int) -> int:
    return max(1, round(count * SCALE))


async def small_requests(server: Server) -> float:
    """Ready small requests are answered; the longest of a few, in seconds."""
    longest = 0.0
    for _ in range(5):
        began = time.monotonic()
        answer = await call(server.port, Call(path="/upper", chunks=(b"abc",), declared=True))
        assert (answer.status, answer.body) in ((200, b"ABC"), (503, b"Service Unavailable"))
        longest = max(longest, time.monotonic() - began)
    return longest


async def test_many_one_byte_chunks(server: Server) -> None:
    count = scaled(100_000)
    before = census(server.pid).resident
    what = Call(path="/upper", chunks=(b"x",) * 1000, limit=60)
    # Hypercorn's idle timeout begins with the connection. More at once than there
    # are workers keep its loop from reading the last heads in time, on a busy machine.
    room = asyncio.Semaphore(AT_ONCE)

    async def upload() -> Delivery:
        async with room:
            return await call(server.port, what)

    answers = await asyncio.gather(*(upload() for _ in range(count // 1000)))
    assert {(each.status, each.body, each.end) for each in answers} == {
        (200, b"X" * 1000, End.CLEAN)
    }
    assert census(server.pid).resident - before < 32 * MIB


@pytest.mark.parametrize("sent", [1, 100 * 1024])
async def test_uploads_that_stop(sent: int, server: Server) -> None:
    """They take half of the pool at most before their timeout, or all of it until then."""
    await look_when_settled(server)
    what = Call(path="/digest", chunks=(b"s" * sent,), ends=False, limit=20)
    stopped = [asyncio.create_task(call(server.port, what)) for _ in range(scaled(300))]
    await asyncio.sleep(0.1)
    assert await small_requests(server) < PATIENCE
    ends = {(each.status, each.end) for each in await asyncio.gather(*stopped)}
    assert ends <= {(408, End.CLEAN), (503, End.CLEAN)}
    assert (await look_when_settled(server)).busy == 0


async def test_trickling_clients(server: Server) -> None:
    count = scaled(500)
    before = census(server.pid).resident
    trickle = Call(path="/upper", chunks=(b"t",) * 8, pause=0.25, limit=30)
    trickling = [asyncio.create_task(call(server.port, trickle)) for _ in range(count)]
    await asyncio.sleep(1)
    held = census(server.pid).resident - before
    assert await small_requests(server) < PATIENCE
    assert held < count * PER_CLIENT + 8 * MIB  # and what any first use costs
    answers = await asyncio.gather(*trickling)
    assert {(each.status, each.end) for each in answers} <= {
        (200, End.CLEAN),
        (408, End.CLEAN),  # stood in line longer than its bytes were worth waiting for
        (503, End.CLEAN),
    }


async def test_slow_reader_is_cut(server: Server) -> None:
    what = Call(path="/download?2000", declared=True, order=Order.NEVER, limit=1.5)
    before = census(server.pid).resident
    await asyncio.gather(*(call(server.port, what) for _ in range(scaled(50))))
    assert await small_requests(server) < PATIENCE
    assert (await look_when_settled(server)).busy == 0
    assert census(server.pid).resident - before < 64 * MIB


@pytest.mark.parametrize("order", [Order.DUPLEX, Order.WRITE_FIRST])
async def test_413_by_length_reaches_the_client(order: Order, server: Server) -> None:
    what = Call(path="/limited", chunks=(BLOCK,) * 12, declared=True, order=order)
    answers: list[Delivery] = []
    for _ in range(10):
        answers.append(await call(server.port, what))
    assert {(each.status, each.end) for each in answers} == {(413, End.CLEAN)}


SECRET: Final = "s3cr3t-of-the-request"


@pytest.mark.parametrize("path", ["/digest", "/limited", "/raising?0"])
async def test_error_bodies_say_nothing_of_the_request(path: str, server: Server) -> None:
    mark = "&" if "?" in path else "?"
    what = Call(
        path=path if "raising" in path else f"{path}{mark}q={SECRET}",
        chunks=(SECRET.encode() * 6000,),
        headers=(("x-secret", SECRET), ("cookie", SECRET)),
        ends=path == "/limited" or "raising" in path,
    )
    answer = await call(server.port, what)
    assert (answer.status or 0) >= 400
    assert SECRET.encode() not in answer.body
    assert b"/" not in answer.body  # nor is there a path of the machine
    assert len(answer.body) < 100


async def test_health_all_along(server: Server) -> None:
    answer = await call(server.port, get("/health"))
    assert (answer.status, answer.body, answer.end) == (200, b"ok", End.CLEAN)
