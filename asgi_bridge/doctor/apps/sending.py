"""Applications that send their response in the ways, good and bad, that applications do."""

import anyio
import anyio.lowlevel

from ...types import Receive, Scope, Send
from .notes import answer, last, more, start, write_note

TICK = 0.02
TICKS = 40

BIG = bytes(range(256)) * 80_000  # 20 MB in one message
SMALL = [b"%02d" % (number % 100) for number in range(2000)]  # and many of 2 bytes


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, b"hello")


async def hello_undeclared(scope: Scope, receive: Receive, send: Send) -> None:
    """The same without a content-length, which aioquic's client wants to be true for a HEAD."""
    await start(send, 200)
    await last(send, b"hello")


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, 204)
    await last(send)


async def ticking(scope: Scope, receive: Receive, send: Send) -> None:
    """Send a little every now and then, and note how that ended."""
    if scope["method"] != "GET":
        await receive()
    await start(send, 200)
    try:
        for _ in range(TICKS):
            await more(send, b"tick")
            await anyio.sleep(TICK)
    except OSError:
        write_note(scope, "send raised an OSError")
        raise
    write_note(scope, f"{TICKS} sends, and nothing raised")
    await last(send)


async def listening_ticking(scope: Scope, receive: Receive, send: Send) -> None:
    """Wait for the disconnect, then send all the same, and note what that did."""
    await start(send, 200)
    await more(send, b"tick")
    while (await receive())["type"] != "http.disconnect":
        pass
    try:
        await more(send, b"tock")
    except OSError:
        write_note(scope, "send raised an OSError")
        raise
    write_note(scope, "told of the disconnect, and its send did not raise")


async def big(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, 200, (b"content-length", b"%d" % len(BIG)))
    await last(send, BIG)


async def small(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, 200)
    for chunk in SMALL:
        await more(send, chunk)
    await last(send)


async def three(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, 200)
    await more(send, b"one")
    await more(send, b"two")
    await last(send, b"three")


async def beside(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with how often another task had its turn while 500 messages were sent."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        await start(send, 200)
        for _ in range(500):
            await more(send, b".")
        seen = turns
        tasks.cancel_scope.cancel()
    await last(send, b"%d" % seen)


async def raising(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("failed on purpose, before the start")


async def raising_started(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, 200)
    raise RuntimeError("failed on purpose, after the start")


async def breaking(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, 200)
    await more(send, b"first")
    raise RuntimeError("failed on purpose, after a chunk")


async def breaking_declared(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, 200, (b"content-length", b"10"))
    await more(send, b"first")
    raise RuntimeError("failed on purpose, in the middle of a declared body")


async def raising_late(scope: Scope, receive: Receive, send: Send) -> None:
    """Fail in the middle of the upload."""
    await receive()
    await anyio.sleep(0.2)
    raise RuntimeError("failed on purpose, in the middle of the upload")


async def leaving(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, 200)
    await more(send, b"first")


async def short(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, 200, (b"content-length", b"10"))
    await last(send, b"01234")


async def long(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, 200, (b"content-length", b"10"))
    await last(send, b"0123456789abcde")


async def version(scope: Scope, receive: Receive, send: Send) -> None:
    seen = scope.get("asgi", {}).get("spec_version", "none")
    await answer(send, str(seen).encode())
