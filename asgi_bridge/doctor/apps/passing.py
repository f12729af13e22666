"""What the bridge has to leave alone: the lifespan and WebSockets."""

from ...types import Receive, Scope, Send
from .notes import answer

_phases: list[str] = []


async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    _phases.append("started")
    if "state" in scope:
        scope["state"]["doctor"] = "state"
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def lifespan_seen(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with what a request sees of the lifespan."""
    seen = [*_phases, scope.get("state", {}).get("doctor", "")]
    await answer(send, " ".join(filter(None, seen)).encode())


async def websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """Send one text back, in upper case."""
    await receive()
    await send({"type": "websocket.accept"})
    message = await receive()
    await send({"type": "websocket.send", "text": str(message.get("text", "")).upper()})
    await send({"type": "websocket.close"})
