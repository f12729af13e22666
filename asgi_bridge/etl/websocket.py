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

from .answers import PUT_LENGTH, Answer
from .asgi import Message, Receive, Scope, Send
from .buffered import BufferedServing
from .delivery import hop_of, vouched_for
from .errors import Refused
from .fqn import sanitize_fqn
from .pipeline import InvalidPipelineError, parse_etl_pipeline
from .reports import report
from .settings import Settings
from .transform import Buffered, Job

_AHEAD: Final = 1  # frames taken in ahead of their turn, beside the one that waits to be


class ProtocolError(Exception):
    """The peer sent what is no control message; where the next one begins is unknown."""


class ObjectSocket:
    """An ASGI application for `/ws`.

    Args:
        serving: delivers; None for a streaming server, which is no use to a WebSocket.
        work: the transform; likewise.
        settings: what the environment says.
        logger: where failures go.
    """

    def __init__(
        self,
        serving: BufferedServing | None,
        work: Buffered | None,
        settings: Settings,
        logger: logging.Logger,
    ) -> None:
        self._serving = serving
        self._work = work
        self._settings = settings
        self._logger = logger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        await receive()  # websocket.connect
        if not scope["path"].endswith("/ws"):
            await send({"type": "websocket.close", "code": 1000})  # before accept: a 403
            return
        await send({"type": "websocket.accept"})
        if self._serving is None or self._work is None:
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
                    await self._serve(self._serving, self._work, out, send)
                except ProtocolError:
                    await send({"type": "websocket.close", "code": 1000})
                tasks.cancel_scope.cancel()

    async def _serve(
        self,
        serving: BufferedServing,
        work: Buffered,
        frames: MemoryObjectReceiveStream[bytes | str],
        send: Send,
    ) -> None:
        while True:
            control = parse_control(await frames.receive())
            fqn = text_of(control, "fqn")
            body: bytes | str = b"" if fqn else await frames.receive()
            source: list[bytes | str] = [body.encode() if isinstance(body, str) else body]
            del body
            job = Job(
                text_of(control, "path"),
                text_of(control, "etl_args").strip(),
                sanitize_fqn(fqn) if fqn else "",
            )
            header = text_of(control, "pipeline")
            await send(await self._frame(serving, work, job, source, header))

    async def _frame(
        self,
        serving: BufferedServing,
        work: Buffered,
        job: Job,
        source: list[bytes | str],
        header: str,
    ) -> Message:
        """The frame to answer an object with."""
        try:
            pipeline = parse_etl_pipeline(header)
        except InvalidPipelineError as error:
            report(self._logger, job.path, error.status_code, str(error))
            return text(str(error))
        try:
            hop = hop_of(pipeline, self._settings, job.path, job.etl_args)
            if hop is not None:
                hop = await vouched_for(hop, self._settings)
        except Refused as refused:
            report(self._logger, job.path, refused.status_code, refused.reason)
            return text("0")
        try:
            if job.fqn:
                source = [await serving.read(job)]
        except Refused as refused:
            report(self._logger, job.path, refused.status_code, refused.reason)
            return text(f"Transform error: {refused.reason}")
        try:
            made = await work.make(job, source)
        except Refused as refused:
            return text(f"Transform error: {refused.reason.removeprefix('Processing error: ')}")
        if hop is None:
            return binary(bytes(made.content))
        try:
            answer = await serving.deliver(job.path, hop, made.content)
        except Exception as error:
            answer = Answer(500, reason=repr(error))
        if answer.reason:
            report(self._logger, job.path, answer.status, answer.reason, hop.name)
        return frame_for(answer)


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
