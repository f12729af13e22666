"""What the tests of an exchange share."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
import pytest
import trio

from asgi_bridge import Request, Response, WorkerPool, handler
from asgi_bridge.crossing.lines import Job
from asgi_bridge.testing import AppState, Exchange, body, start
from asgi_bridge.types import ASGIApp, Message, Receive, Scope, Send

# Longest wait of a thread for a test, or of a test for a thread, in seconds.
WAIT = 5.0

# What a client of HTTP/1 gets of a server that shuts down, where nothing was sent before.
SHUT_DOWN_503 = [
    start(
        503,
        [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"19"),
            (b"connection", b"close"),
        ],
    ),
    body(b"Service Unavailable"),
]

# The head of a request whose body is to come.
CHUNKED = [(b"transfer-encoding", b"chunked")]


class Step:
    """A point in time that threads and tasks wait for, and never for ever."""

    def __init__(self) -> None:
        self._event = threading.Event()

    @property
    def taken(self) -> bool:
        """Whether it has come."""
        return self._event.is_set()

    def take(self) -> None:
        """It has come: let go whoever waits."""
        self._event.set()

    def wait(self) -> None:
        """Wait for it; on a worker thread."""
        if not self._event.wait(WAIT):
            raise AssertionError(f"a step was not taken within {WAIT} s")

    async def reached(self) -> None:
        """Wait for it; in a task."""
        await anyio.to_thread.run_sync(self.wait)


class Held:
    """A handler that says when it has begun and goes on when it may."""

    def __init__(self) -> None:
        self.begun = Step()
        self.step = Step()

    def __call__(self, request: Request, response: Response) -> bytes:
        self.begun.take()
        self.step.wait()
        return request.body.read()


@asynccontextmanager
async def taken(pool: WorkerPool) -> AsyncIterator[Step]:
    """The pool's only worker is taken, until the step is."""
    holder = Held()
    async with Exchange(handler(holder, pool=pool)) as exchange:
        await exchange.end_body()
        await holder.begun.reached()
        yield holder.step


class PromptPool(WorkerPool):
    """A pool whose jobs are done when `submit` returns.

    Whether an exchange sees a handler's output before its end, or both at once, is a matter of
    microseconds; with this pool it sees both at once.
    """

    def submit(self, job: Job, *, ready: bool, **options: Any) -> Any:
        """Run a job, and wait for the end of its thread."""
        begins = super().submit(job, ready=ready)
        self.close()
        self.open()
        return begins


async def settled() -> None:
    """Wait until every other task waits for something that only a thread or the test brings."""
    with anyio.fail_after(WAIT):
        await anyio.wait_all_tasks_blocked()


def tasks_living() -> int:
    """How many tasks the running loop has."""
    if "trio" in sys.modules and trio.lowlevel.in_trio_run():
        return trio.lowlevel.current_statistics().tasks_living
    return len(asyncio.all_tasks())


def ending(exchange: Exchange) -> tuple[AppState, type[BaseException] | None]:
    """How an exchange's app has ended, in a form that can be compared."""
    exception = exchange.outcome.exception
    return exchange.outcome.state, None if exception is None else type(exception)


def lines(log: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """What the package has logged: levels and texts."""
    return [(r.levelname, r.getMessage()) for r in log.records if r.name == "asgi_bridge"]


def joined(messages: Iterable[Message]) -> list[Message]:
    """The messages, with neighbours of a body in one: where they are cut is a matter of time."""
    result: list[Message] = []
    for message in messages:
        last = result[-1] if result else {"type": None}
        if message["type"] == last["type"] == "http.response.body" and last["more_body"]:
            result[-1] = body(last["body"] + message["body"], more_body=message["more_body"])
        else:
            result.append(message)
    return result


def sender(*messages: Message) -> ASGIApp:
    """An app that sends these and returns."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


def raiser(error: BaseException, *messages: Message) -> ASGIApp:
    """An app that sends these and raises."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await sender(*messages)(scope, receive, send)
        raise error

    return app


def cancelled_unheard(app: ASGIApp) -> Exchange:
    """An exchange whose `cancel` says nothing to the app's receive(), as with most servers.

    The scripted exchange says `http.disconnect` then, so an app might end by either.
    """

    async def unheard(scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_unheard() -> Message:
            message = await receive()
            if exchange.outcome.state is AppState.CANCELLING:
                await anyio.sleep_forever()
            return message

        await app(scope, receive_unheard, send)

    exchange = Exchange(unheard)
    return exchange


class Counted:
    """An app around an app: notes each receive() of the server's in a common record."""

    def __init__(self, app: ASGIApp, record: list[str]) -> None:
        self._app = app
        self._record = record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def noted_receive() -> Message:
            self._record.append("receive")
            return await receive()

        async def noted_send(message: Message) -> None:
            self._record.append(message["type"].removeprefix("http.response."))
            await send(message)

        await self._app(scope, noted_receive, noted_send)
