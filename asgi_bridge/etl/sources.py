"""Sources: the receive of an inner exchange, from the caller, from a file, or from the target."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import anyio

from .asgi import Message, Receive, Scope
from .client import Client, next_chunk
from .errors import HopBroken, Refused, UpstreamBroken

_DISCONNECT = "http.disconnect"


class Caller:
    """The client of an exchange whose output does not go straight back to it.

    Its body is for the transform; after that somebody has to listen for its leaving.

    Args:
        receive: a bridge's, which loses nothing when it is cancelled.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._body_over = anyio.Event()

    async def body(self) -> Message:
        """The `receive` of an inner exchange that reads the caller's body."""
        if self._body_over.is_set():
            await anyio.sleep_forever()  # until the inner exchange is over and cancels its pump
        message = await self._receive()
        if message["type"] == _DISCONNECT or not message.get("more_body"):
            self._body_over.set()
        return message

    def leave_body(self) -> None:
        """Nobody will read the rest of the body."""
        self._body_over.set()

    async def wait_gone(self) -> None:
        """Wait until the caller has left."""
        await self._body_over.wait()
        while (await self._receive())["type"] != _DISCONNECT:
            pass  # the rest of a body that nobody wants


class NoBody:
    """The `receive` of an inner exchange that needs no body: the transform opens a file."""

    def __init__(self) -> None:
        self._told = False

    async def __call__(self) -> Message:
        if self._told:
            await anyio.sleep_forever()  # as above
        self._told = True
        return {"type": "http.request", "body": b"", "more_body": False}


class Upstream:
    """An object on its way from another host, as the body of an inner exchange."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._ended = False

    async def receive(self) -> Message:
        """The `receive` of an inner exchange.

        Raises:
            UpstreamBroken: the object was cut.
        """
        if self._ended:
            await anyio.sleep_forever()
        try:
            chunk = await next_chunk(self._response)
        except HopBroken as error:
            raise UpstreamBroken(str(error)) from error
        self._ended = not chunk
        return {"type": "http.request", "body": chunk, "more_body": bool(chunk)}

    async def chunks(self) -> AsyncIterator[bytes]:
        """The object, part by part.

        Raises:
            Refused: it was cut, status 502.
        """
        try:
            while chunk := await next_chunk(self._response):
                yield chunk
        except HopBroken as error:
            raise Refused(502, f"Network error: {error}") from error

    def scope(self, scope: Scope) -> Scope:
        """The scope of the inner exchange: that of a PUT of this object."""
        length = self._response.headers.get("Content-Length", "")
        headers = [(b"content-length", length.encode())] if length else []
        return {**scope, "method": "PUT", "headers": headers}


@asynccontextmanager
async def upstream(client: Client, url: str, *, foreign: bool = False) -> AsyncIterator[Upstream]:
    """GET an object.

    Args:
        foreign: it is not on a target: redirects are followed, and no token is sent.

    Raises:
        Refused: there is none, with the status that the other host gave, or 502.
    """
    async with AsyncExitStack() as stack:
        opened = client.request("GET", url, redirects=foreign, trusted=not foreign)
        try:
            response = await stack.enter_async_context(opened)
        except (HopBroken, aiohttp.ClientError) as error:
            raise Refused(502, f"Network error: {error}") from error
        if response.status != 200:  # a 206 is a part, a 204 nothing: no object may be made of it
            status = response.status if response.status >= 400 else 502
            raise Refused(status, "Target request failed")
        yield Upstream(response)
