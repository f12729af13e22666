# What the next hop has answered becomes our answer to the caller.
#
# Rule 1: it is read while the upload goes on, and relayed as it comes; what is short is whole
#         before it starts.
# Rule 2: nothing is tried again once the relay has begun.
"""Answers: what the caller of a delivery is told."""

from dataclasses import dataclass, field
from typing import Final

import aiohttp

from .asgi import Send, respond, send_chunk, start_response
from .client import next_chunk
from .errors import RETRY_REASON, TRANSIENT, HopBroken, Refused

PUT_LENGTH: Final = "ais-direct-put-length"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the caller is told.

    Attributes:
        body: all of it; None where it has been relayed already.
        reason: of a failure, for the log; empty where that is told already, or there is none.
    """

    status: int
    body: bytes | None = b""
    headers: dict[str, str] = field(default_factory=dict)
    reason: str = ""

    @property
    def transient(self) -> bool:
        """Whether it asks for another try."""
        return self.status == 503 and self.headers.get(RETRY_REASON) == TRANSIENT

    async def send(self, send: Send) -> None:
        """Send it, unless it has been relayed."""
        if self.body is not None:
            await respond(send, self.status, self.body, self.headers)


def answer_of(refused: Refused) -> Answer:
    """A refusal as an answer."""
    body = refused.detail.encode()
    reason = "" if refused.told else refused.reason
    return Answer(refused.status_code, body, dict(refused.headers), reason)


def length_header(size: int) -> dict[str, str]:
    return {PUT_LENGTH: str(size)} if size else {}


class Relay:
    """Where the answer of the next hop goes.

    Args:
        hold_bytes: an answer up to this size is whole before it starts; None for any size.
        send: the caller's, for longer ones.
    """

    def __init__(self, hold_bytes: int | None, send: Send | None = None) -> None:
        self._hold_bytes = hold_bytes
        self._send = send

    async def take(self, response: aiohttp.ClientResponse) -> bytes | None:
        """Read an answer; None once it has been passed on.

        Raises:
            HopBroken: it was cut before anything was passed on.
            ConnectionAbortedError: it was cut after that.
        """
        held = bytearray()
        while self._hold_bytes is None or len(held) <= self._hold_bytes:
            chunk = await next_chunk(response)
            if not chunk:
                return bytes(held)
            held += chunk
        assert self._send is not None, "a relay with a bound has somewhere to send to"
        length = response.headers.get("Content-Length")
        headers = {} if length is None else {"content-length": length}
        await start_response(self._send, 200, headers)
        chunk = bytes(held)
        del held
        try:
            while chunk:
                await send_chunk(self._send, chunk, last=False)
                chunk = await next_chunk(response)
        except HopBroken as error:
            raise ConnectionAbortedError(f"the next hop's answer was cut: {error}") from error
        await send_chunk(self._send, b"", last=True)
        return None
