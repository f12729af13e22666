"""Connections to other hosts: how many are kept, and when they end."""

import asyncio
import gc
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from asgi_bridge.etl.client import Client
from asgi_bridge.etl.kept import Kept
from asgi_bridge.etl.settings import Settings
from asgi_bridge.etl.testing import FakeTarget


@pytest.fixture
def target() -> Iterator[FakeTarget]:
    with FakeTarget() as target:
        target.objects["o"] = b"abc"
        yield target


def settings_for(target: FakeTarget, **environ: str) -> Settings:
    return Settings.from_environment({"AIS_TARGET_URL": target.url, **environ})


async def get(client: Client, target: FakeTarget) -> None:
    async with client.request("GET", f"{target.url}/o") as response:
        assert await response.content.read() == b"abc"


# How many are kept.


def test_no_more_than_allowed_are_kept() -> None:
    kept = Kept(2, 30)
    assert [kept.begin(host, 0) for host in ("a", "b", "c")] == [True, True, False]
    kept.end("a", 1, usable=True)
    assert not kept.begin("c", 1), "an idle one counts"
    assert kept.begin("a", 2), "unless it is the one that is used"
    kept.end("a", 2, usable=False)
    assert kept.begin("c", 2), "a broken one does not count"


def test_an_idle_connection_is_forgotten_in_time() -> None:
    kept = Kept(2, 30)
    for host, now in (("a", 0), ("b", 10)):
        assert kept.begin(host, now)
        kept.end(host, now, usable=True)
    assert not kept.begin("c", 30)
    assert kept.begin("c", 31), "a's has been idle for too long"
    assert not kept.begin("d", 40)
    kept.end("c", 40, usable=True)
    assert kept.begin("a", 41)


@pytest.mark.parametrize(("most", "told"), [("0", ["close"] * 2), ("1", [None] * 2)])
def test_the_other_side_is_told(target: FakeTarget, most: str, told: list[str | None]) -> None:
    async def main() -> None:
        client = Client(settings_for(target, MAX_KEEPALIVE_CONN=most))
        for _ in range(2):
            await get(client, target)
        await client.aclose()

    asyncio.run(main())
    assert [request.header("connection") for request in target.gets()] == told


# When they end.


def without_a_word(main: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Run a loop to its end; what is left open after it is told as it is collected."""
    asyncio.run(main())
    gc.collect()


@pytest.mark.filterwarnings("error")
def test_a_session_ends_with_its_loop(target: FakeTarget) -> None:
    """Servers without a lifespan tell nobody that they end."""
    client = Client(settings_for(target))
    sessions = []

    async def main() -> None:
        await get(client, target)
        sessions.append((await client.session()).http)

    without_a_word(main)
    without_a_word(main)
    first, second = sessions
    assert first is not second
    assert first.closed
    assert second.closed


def test_one_session_a_loop(target: FakeTarget) -> None:
    client = Client(settings_for(target))

    async def main() -> None:
        one, two = await asyncio.gather(client.session(), client.session())
        assert one is two
        await client.aclose()
        assert one.http.closed
        await client.aclose()
        await get(client, target)
        assert await client.session() is not one

    without_a_word(main)
