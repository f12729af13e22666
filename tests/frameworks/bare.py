"""Applications without a framework that answer with the body of their request."""

import math
from collections.abc import Iterator
from typing import Final

import anyio
from asgiref.compatibility import guarantee_single_callable

from asgi_bridge import BridgeMiddleware, Request, Response, handler
from asgi_bridge.types import ASGIApp, Message, Receive, Scope, Send

PATIENCE: Final = 0.001  # seconds; shorter than most clients take for a chunk


@handler
def echo(request: Request, response: Response) -> Iterator[bytes]:
    """Each chunk as it comes."""
    yield from request.body.chunks()


async def _answer(receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message.get("more_body", False)
        await send(
            {"type": "http.response.body", "body": message.get("body", b""), "more_body": more}
        )


async def single(scope: Scope, receive: Receive, send: Send) -> None:
    """What the specification shows."""
    await _answer(receive, send)


class Double:
    """An application of ASGI 2: called with the scope, and then with the rest."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, receive: Receive, send: Send) -> None:
        await _answer(receive, send)


async def impatient(scope: Scope, receive: Receive, send: Send) -> None:
    """Cancels a `receive` that takes long, and asks anew."""

    async def insist() -> Message:
        while True:
            with anyio.move_on_after(PATIENCE):
                return await receive()

    await _answer(insist, send)


async def two_tasks(scope: Scope, receive: Receive, send: Send) -> None:
    """Two tasks ask for messages at the same time; what either gets goes out in order."""
    into, out_of = anyio.create_memory_object_stream[Message](math.inf)

    async def ask() -> None:
        more = True
        while more:
            message = await receive()
            into.send_nowait(message)  # before anything else runs, or the order is gone
            more = message.get("more_body", False)

    async with into, out_of, anyio.create_task_group() as asking:
        asking.start_soon(ask)
        asking.start_soon(ask)
        await _answer(out_of.receive, send)
        asking.cancel_scope.cancel()  # one of them waits for the disconnect


BARE: Final[dict[str, ASGIApp]] = {
    "bare-single": single,
    "bare-asgi2": guarantee_single_callable(Double),  # type: ignore[no-untyped-call]  # asgiref's
    "bare-two-tasks": two_tasks,
    "bare-cancelled": impatient,
}

APPS: Final[dict[str, ASGIApp]] = {
    **{name: BridgeMiddleware(app) for name, app in BARE.items()},
    "bare-twice": BridgeMiddleware(BridgeMiddleware(single)),
    "bare-twice-cancelled": BridgeMiddleware(BridgeMiddleware(impatient)),
    "bare-around-handler": BridgeMiddleware(echo),
}
