"""What a server is given: `bare`, and the same inside the bridge as `bridged`."""

from typing import Final

from ...middleware import BridgeMiddleware
from ...types import ASGIApp, Receive, Scope, Send
from . import blocking, reading, sending
from .frameworks import of_frameworks
from .notes import answer, tell_note
from .passing import lifespan, lifespan_seen, websocket

APPS: Final[dict[str, ASGIApp]] = {
    "answer_then_read": reading.answer_then_read,
    "beside": sending.beside,
    "big": sending.big,
    "blocking_breaking": blocking.breaking,
    "blocking_echo": blocking.echo,
    "blocking_refuse_late": blocking.refuse_late,
    "breaking": sending.breaking,
    "breaking_declared": sending.breaking_declared,
    "cancelling": reading.cancelling,
    "echo": reading.echo,
    "hello": sending.hello,
    "hello_undeclared": sending.hello_undeclared,
    "leaving": sending.leaving,
    "lifespan": lifespan_seen,
    "listening_echo": reading.listening_echo,
    "listening_ticking": sending.listening_ticking,
    "long": sending.long,
    "note": tell_note,
    "note_upload": reading.note_upload,
    "nothing": sending.nothing,
    "polling": reading.polling,
    "raising": sending.raising,
    "raising_late": sending.raising_late,
    "raising_started": sending.raising_started,
    "refuse": reading.refuse,
    "refuse_late": reading.refuse_late,
    "short": sending.short,
    "small": sending.small,
    "three": sending.three,
    "ticking": sending.ticking,
    "two_receivers": reading.two_receivers,
    "version": sending.version,
    **of_frameworks(),
}


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """Call the application that the path names."""
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
    elif scope["type"] == "websocket":
        await websocket(scope, receive, send)
    else:
        app = APPS.get(scope["path"].strip("/"))
        if app is None:
            await answer(send, b"no such application", 404)
        else:
            await app(scope, receive, send)


# What asks the bridge for the promise of ASGI 2.4.
RAISING: Final[dict[str, ASGIApp]] = {
    name: BridgeMiddleware(APPS[name], raise_on_disconnect=True)
    for name in ("listening_ticking", "ticking", "version")
}


async def asking(scope: Scope, receive: Receive, send: Send) -> None:
    """`bare`, where some applications ask the bridge for more."""
    app = RAISING.get(scope.get("path", "").strip("/"), bare)
    await app(scope, receive, send)


bridged = BridgeMiddleware(asking)
