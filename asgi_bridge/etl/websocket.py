# AIStore's WebSocket: per object one frame of JSON, then one with the object, unless that is a
# local file. Each object is answered with one frame.
#
# Rule 1: binary is an object, text says that one was delivered, or why not. AIStore takes any
#         text for a success, but a connection that is closed leaves its job hanging.
# Rule 2: frames are taken in while an object is under way, few of them, so that the disconnect
#         is noticed and stops what nobody waits for.
"""ObjectSocket: the WebSocket side of an ETL server."""

import json
import logging
from typing import Any, Final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from asgi_bridge import HandlerApp

from .answers import PUT_LENGTH, Answer, Relay
from .asgi import Message, Receive, Scope, Send
from .client import Client
from .delivery import Courier, collect, deliver, hop_of
from .errors import Refused
from .fqn import sanitize_fqn
from .pipeline import InvalidPipelineError, parse_etl_pipeline
from .settings import Settings
from .sinks import Sink
from .sources import NoBody, OneMessage
from .transform import JOB, Job

logger: Final = logging.getLogger("asgi_bridge.etl")

_AHEAD: Final = 1  # frames taken in ahead of their turn, beside the one that waits to be


class ProtocolError(Exception):
    """The peer sent what is no control message; where the next one begins is unknown."""


class ObjectSocket:
    """An ASGI application for `/ws`.

    Args:
        work: runs the transform.
        client: delivers.
        settings: what the environment says.
        streaming: whether the server streams; it is no use to a WebSocket then.
    """

    def __init__(
        self, work: HandlerApp, client: Client, settings: Settings, *, streaming: bool
    ) -> None:
        self._work = work
        self._client = client
        self._settings = settings
        self._streaming = streaming

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        await receive()  # websocket.connect
        if not scope["path"].endswith("/ws"):
            await send({"type": "websocket.close", "code": 1000})  # before accept: a 403
            return
        await send({"type": "websocket.accept"})
        if self._streaming:
            await send({"type": "websocket.close", "code": 1000})
            return
        into, out = anyio.create_memory_object_stream[bytes | str](_AHEAD)
        with into, out:
            async with anyio.create_task_group() as tasks:

                async def take_in() -> None:
                    await take_frames(receive, into)
                    tasks.cancel_scope.cancel()

                tasks.start_soon(take_in)
                try:
                    await self._serve(out, send)
                except ProtocolError:
                    await send({"type": "websocket.close", "code": 1000})
                tasks.cancel_scope.cancel()

    async def _serve(self, frames: MemoryObjectReceiveStream[bytes | str], send: Send) -> None:
        while True:
            control = parse_control(await frames.receive())
            fqn = text_of(control, "fqn")
            body: bytes | str = b"" if fqn else await frames.receive()
            content = body.encode() if isinstance(body, str) else body
            del body
            job = Job(
                text_of(control, "path"),
                text_of(control, "etl_args").strip(),
                sanitize_fqn(fqn) if fqn else "",
            )
            await send(await self._frame(job, [content], text_of(control, "pipeline")))

    async def _frame(self, job: Job, content: list[bytes], header: str) -> Message:
        """The frame to answer an object with."""
        try:
            pipeline = parse_etl_pipeline(header)
        except InvalidPipelineError as error:
            return text(str(error))
        try:
            hop = hop_of(pipeline, self._settings, job.path, job.etl_args)
        except Refused as error:
            logger.error("%r was not delivered: %s", job.path, error.detail)
            return text("0")
        try:
            collected = await self._transform(job, content)
        except Refused as error:
            return text(f"Transform error: {reason_of(error.detail)}")
        if collected.refused:
            detail = b"".join(collected.content).decode()
            return text(f"Transform error: {reason_of(detail)}")
        if hop is None:
            return binary(b"".join(collected.content))
        courier = Courier(self._client, hop, Relay(None))
        try:
            answer = await deliver(
                lambda: courier.put_whole(collected.content, self._settings.slice_bytes),
                self._settings.retries,
                replayable=True,
            )
        except Exception:
            logger.exception("%r was not delivered", job.path)
            return text("0")
        return frame_for(answer)

    async def _transform(self, job: Job, content: list[bytes]) -> Sink:
        receive = NoBody() if job.fqn else OneMessage(content.pop())
        scope = {
            "type": "http",
            "method": "PUT",
            "path": f"/{job.path}",
            "query_string": b"",
            "headers": [],
            JOB: job,
        }
        return await collect(lambda sink: self._work(scope, receive, sink.send))


async def take_frames(receive: Receive, frames: MemoryObjectSendStream[bytes | str]) -> None:
    """Pass frames on until the peer has left."""
    while (message := await receive())["type"] == "websocket.receive":
        data = message.get("bytes")
        await frames.send(message.get("text", "") if data is None else data)


def parse_control(frame: bytes | str) -> dict[str, Any]:
    """Read a control message.

    Raises:
        ProtocolError: it is none.
    """
    if isinstance(frame, str):
        raise ProtocolError("a control message is a binary frame")
    try:
        control = json.loads(frame)
    except ValueError as error:
        raise ProtocolError(f"a control message is JSON: {error}") from None
    if not isinstance(control, dict):
        raise ProtocolError("a control message is a JSON object")
    return control


def text_of(control: dict[str, Any], key: str) -> str:
    value = control.get(key)
    return value if isinstance(value, str) else ""


def reason_of(detail: str) -> str:
    """What a refusal's body says, without what is said of every transform's failure."""
    try:
        reason = json.loads(detail)["detail"]
    except (ValueError, TypeError, KeyError):
        reason = detail
    return str(reason).removeprefix("Processing error: ")


def frame_for(answer: Answer) -> Message:
    """The frame for what became of a delivery."""
    if answer.status == 204:
        return text(answer.headers.get(PUT_LENGTH, "0"))
    if answer.status == 200:
        return binary(answer.body) if answer.body else text("0")
    return text("0")


def text(content: str) -> Message:
    return {"type": "websocket.send", "text": content}


def binary(content: bytes) -> Message:
    return {"type": "websocket.send", "bytes": content}
