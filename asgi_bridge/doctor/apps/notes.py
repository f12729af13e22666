"""What an application has met after its client had left, for the next request to ask."""

from urllib.parse import parse_qs

import anyio

from ...types import Receive, Scope, Send

# Seconds that somebody who asks waits for the note. The checks have a limit of their own below it.
PATIENCE = 10.0


class Note:
    """One line, once it is written."""

    def __init__(self) -> None:
        self.text = "nothing noted"
        self.written = anyio.Event()
        self.asked_for = anyio.Event()


_notes: dict[str, Note] = {}


def note_of(scope: Scope) -> Note:
    """The note of a request, which its query names."""
    key = parse_qs(scope["query_string"].decode())["key"][0]
    return _notes.setdefault(key, Note())


def write_note(scope: Scope, text: str) -> None:
    """Write the note of a request, for ever."""
    note = note_of(scope)
    if not note.written.is_set():
        note.text = text
        note.written.set()


async def until_asked_for(scope: Scope) -> None:
    """Wait until somebody asks for the note of a request: its client has left it by then."""
    with anyio.move_on_after(PATIENCE):
        await note_of(scope).asked_for.wait()


async def tell_note(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the note of another request, once it is written."""
    note = note_of(scope)
    note.asked_for.set()
    with anyio.move_on_after(PATIENCE):
        await note.written.wait()
    await answer(send, note.text.encode())


async def answer(send: Send, body: bytes, status: int = 200) -> None:
    """A whole response of one message."""
    length = (b"content-length", b"%d" % len(body))
    await start(send, status, length)
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def start(send: Send, status: int, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})


async def more(send: Send, chunk: bytes) -> None:
    await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def last(send: Send, chunk: bytes = b"") -> None:
    await send({"type": "http.response.body", "body": chunk, "more_body": False})
