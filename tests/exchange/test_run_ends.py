"""The end of a whole asyncio run, which cancels every task at once, and waits for each."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from asgi_bridge import ExchangeOver, Request, Response, handler
from asgi_bridge.testing import request, scope_for
from asgi_bridge.types import Message
from tests.crossing.threads import LIMIT

TURNS = 20  # more than a task takes that has nothing to wait for

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("servers_first", [True, False])
async def test_worker_is_waited_for(*, servers_first: bool) -> None:
    """Though each of the exchange's two tasks is cancelled, and the one cancels the other."""
    met: list[ExchangeOver] = []
    reads, may_end = threading.Event(), threading.Event()

    @handler
    def app(request: Request, response: Response) -> Iterator[bytes]:
        reads.set()
        try:
            yield request.body.read()
        except ExchangeOver as error:
            may_end.wait(LIMIT)
            met.append(error)
            raise

    script = iter([request(b"abc", more_body=True)])

    async def receive() -> Message:
        for message in script:
            return message
        return await asyncio.Future()

    async def send(message: Message) -> None:
        raise AssertionError(message)

    before = asyncio.all_tasks()
    serving = asyncio.create_task(app(scope_for(method="PUT"), receive, send))
    assert await asyncio.to_thread(reads.wait, LIMIT)
    # asyncio has them in a set, so any of them may be the first
    tasks = sorted(asyncio.all_tasks() - before, key=lambda task: task is serving)
    for task in reversed(tasks) if servers_first else tasks:
        task.cancel()
    for _ in range(TURNS):
        await asyncio.sleep(0)
    assert not serving.done()
    may_end.set()
    await asyncio.wait([serving])
    assert serving.cancelled()
    assert len(met) == 1
