"""Applications that read their request in the ways that applications do."""

import anyio

from ...types import Receive, Scope, Send
from .notes import answer, last, more, start, until_asked_for, write_note

# Seconds after which a pending receive() is given up, to be called again at once.
IMPATIENCE = 0.004


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer each chunk by itself, as soon as it is here."""
    await start(send, 200)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        if message.get("body"):
            await more(send, message["body"])
        if not message.get("more_body", False):
            await last(send)
            return


async def listening_echo(scope: Scope, receive: Receive, send: Send) -> None:
    """The same the way Starlette streams: below ASGI 2.4 a task beside it listens for the end."""
    if scope.get("asgi", {}).get("spec_version", "2.0") >= "2.4":
        await echo(scope, receive, send)
        return
    async with anyio.create_task_group() as tasks:

        async def stream() -> None:
            await echo(scope, receive, send)
            tasks.cancel_scope.cancel()

        tasks.start_soon(stream)
        while (await receive())["type"] != "http.disconnect":
            pass
        tasks.cancel_scope.cancel()


async def cancelling(scope: Scope, receive: Receive, send: Send) -> None:
    """Read with a time limit on each receive(), and answer with what has come."""
    body, open_ = b"", True
    while open_:
        with anyio.move_on_after(IMPATIENCE):
            message = await receive()
            body += message.get("body", b"")
            open_ = message.get("more_body", False)
    await answer(send, body)


async def polling(scope: Scope, receive: Receive, send: Send) -> None:
    """Ask between two reads whether the client is gone, and throw away what else comes."""
    body, open_ = b"", True
    while open_:
        with anyio.CancelScope() as scope_of_poll:
            scope_of_poll.cancel()
            if (await receive())["type"] == "http.disconnect":
                return
        message = await receive()
        body += message.get("body", b"")
        open_ = message.get("more_body", False)
    await answer(send, body)


async def two_receivers(scope: Scope, receive: Receive, send: Send) -> None:
    """Read in two tasks at once, and answer with what they have got together."""
    chunks: list[bytes] = []
    async with anyio.create_task_group() as tasks:

        async def take() -> None:
            open_ = True
            while open_:
                message = await receive()
                chunks.append(message.get("body", b""))
                open_ = message.get("more_body", False)
            tasks.cancel_scope.cancel()

        tasks.start_soon(take)
        tasks.start_soon(take)
    await answer(send, b"".join(chunks))


async def note_upload(scope: Scope, receive: Receive, send: Send) -> None:
    """Read some, and the rest once its client has left; note how much, and how that ended."""
    message = await receive()
    count = len(message.get("body", b""))
    await start(send, 200)
    await more(send, b"reading")
    await until_asked_for(scope)
    while message.get("more_body", False):
        message = await receive()
        count += len(message.get("body", b""))
    how = "the end" if message["type"] == "http.request" else "disconnect"
    write_note(scope, f"{count} bytes, {how}")
    await last(send)


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 403 and read nothing."""
    await answer(send, b"refused", 403)


async def refuse_late(scope: Scope, receive: Receive, send: Send) -> None:
    """Read one message, think for a while, answer 413."""
    await receive()
    await anyio.sleep(0.2)
    await answer(send, b"too large", 413)


async def answer_then_read(scope: Scope, receive: Receive, send: Send) -> None:
    """Begin the answer, then read and echo: what a 100-continue is easily forgotten in."""
    await start(send, 200)
    await more(send, b"ready")
    open_ = True
    while open_:
        message = await receive()
        await more(send, message.get("body", b""))
        open_ = message.get("more_body", False)
    await last(send)
