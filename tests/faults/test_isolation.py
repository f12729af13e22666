"""A handler that misbehaves has an outcome of its own; other exchanges go on."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from ..servers.processes import Server, serving
from .peer import Call, Delivery, End, call
from .runs import get

pytestmark = pytest.mark.asyncio

CHUNK = b"abc" * 1000
SPINNERS = 8
PATIENCE = 5.0  # seconds in which a small request is answered whatever goes on; generous


@pytest.fixture(scope="module", params=["uvicorn-httptools", "hypercorn-trio"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """One of each kind of loop."""
    name = request.param
    with serving(name, "tests.faults.hard:app", tmp_path_factory.mktemp(name)) as it:
        yield it


async def put(server: Server, path: str, chunks: Sequence[bytes] = (CHUNK,)) -> Delivery:
    return await call(server.port, Call(path=path, chunks=chunks, declared=True))


async def others_go_on(server: Server) -> None:
    """An exchange of either kind comes whole."""
    health = await call(server.port, get("/health"))
    assert (health.status, health.body) == (200, b"ok")
    upper = await put(server, "/upper")
    assert (upper.status, upper.body, upper.end) == (200, CHUNK.upper(), End.CLEAN)


@pytest.mark.parametrize("error", ["SystemExit", "KeyboardInterrupt", "MemoryError"])
async def test_what_ends_processes_ends_the_request(error: str, server: Server) -> None:
    before = await put(server, f"/{error}0")
    assert (before.status, before.end) == (500, End.CLEAN)
    after = await put(server, f"/{error}1")
    assert (after.status, after.body, after.end) == (200, b"x", End.BROKEN)
    await others_go_on(server)


async def test_closed_reader(server: Server) -> None:
    delivery = await put(server, "/closing")
    assert (delivery.status, delivery.body, delivery.end) == (200, b"abc closed", End.CLEAN)


async def test_reader_that_is_kept(server: Server) -> None:
    chunks = (CHUNK,) * 100  # more than is there when it is kept
    assert (await put(server, "/keeping", chunks)).body == b"abc"
    # never a part as if it were all
    whole = b"%d bytes" % (len(CHUNK) * len(chunks) - 3)
    assert (await put(server, "/kept")).body in (whole, b"ExchangeOver", b"ClientDisconnected")


async def test_reader_that_is_shared(server: Server) -> None:
    delivery = await put(server, "/sharing", (CHUNK,) * 100)
    assert delivery.body == b"%d" % (len(CHUNK) * 100)


async def test_fork_whose_child_ends(server: Server) -> None:
    delivery = await put(server, "/forking")
    assert (delivery.body, delivery.end) == (b"child ended with 7", End.CLEAN)
    await others_go_on(server)


async def test_fork_whose_child_comes_back(server: Server) -> None:
    delivery = await put(server, "/forking_badly")
    assert (delivery.body, delivery.end) == (b"child ended with 1", End.CLEAN)
    await others_go_on(server)


async def test_handlers_that_block(server: Server) -> None:
    blocked = [asyncio.create_task(put(server, "/block?1000")) for _ in range(SPINNERS)]
    began = time.monotonic()
    await others_go_on(server)
    assert time.monotonic() - began < PATIENCE
    assert not any(task.done() for task in blocked)
    assert {(await task).body for task in blocked} == {b"woke"}


async def test_health_beside_handlers_that_burn_cpu(
    server: Server, record_property: Callable[[str, object], None]
) -> None:
    spinning = [asyncio.create_task(put(server, "/spin?2000")) for _ in range(SPINNERS)]
    await asyncio.sleep(0.2)
    took: list[float] = []
    while not all(task.done() for task in spinning) and len(took) < 100:
        began = time.monotonic()
        assert (await call(server.port, get("/health"))).body == b"ok"
        took.append(time.monotonic() - began)
    assert {(await task).body for task in spinning} == {b"spun"}
    took.sort()
    figures = [round(took[int(len(took) * part)] * 1000) for part in (0.5, 0.99)]
    record_property("/health, ms, median and 99 %", figures)
    print(f"{server.name}: /health took {figures} ms")  # noqa: T201  # shown with -s
    assert took[-1] < PATIENCE
