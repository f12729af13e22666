# Requests to other hosts. aiohttp's client is used because it reads a response while it still
# writes the request: what a pipeline of streaming stages needs in order not to dead-lock, and what
# shows an early refusal instead of the reset that follows it.
#
# A session belongs to the event loop that it was made on, and ends with it at the latest: servers
# without a lifespan tell nobody of their end, but every loop closes its asynchronous generators.
"""Client: an aiohttp session for an ETL server, without retries of its own."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

import aiohttp
import yarl

from asgi_bridge import __version__

from .errors import HopBroken
from .kept import Kept
from .settings import Settings

_CONNECT_TIMEOUT: Final = 30.0
# AIStore gives an object 10 to 45 s by default, and may be told to give it more.
_READ_TIMEOUT: Final = 600.0

BROKEN: Final = (aiohttp.ClientError, OSError, asyncio.TimeoutError)


async def report_breaks(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Give failures of the connection a class that aiohttp does not know.

    It would send a PUT a second time after some of its own, with a body that is used up: a
    complete and empty object.
    """
    try:
        return await handler(request)
    except BROKEN as error:
        raise HopBroken(str(error) or type(error).__name__) from error


class Session(NamedTuple):
    """What one event loop has of a client.

    Attributes:
        http: sends the requests.
        kept: the connections that stay open.
        life: closes the session when it is closed itself.
    """

    http: aiohttp.ClientSession
    kept: Kept
    life: AsyncGenerator[None, None]


class Client:
    """The outbound side of an ETL server. Threads: an event loop's; asyncio only."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sessions: dict[asyncio.AbstractEventLoop, Session] = {}

    async def session(self) -> Session:
        """The session of the running loop, made when first asked for.

        Raises:
            OSError: a certificate file cannot be read.
            RuntimeError: the loop is not asyncio's.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError("requests to other hosts need a server on asyncio") from None
        session = self._sessions.get(loop)
        if session is None:
            settings = self._settings
            http = self._http()
            kept = Kept(settings.kept_connections, settings.keep_alive)
            session = Session(http, kept, self._life(loop, http))
            self._sessions[loop] = session
            await anext(session.life)  # without a pause: it is at its yield before anyone else runs
        return session

    async def _life(
        self, loop: asyncio.AbstractEventLoop, http: aiohttp.ClientSession
    ) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._sessions.pop(loop, None)
            await http.close()

    def _http(self) -> aiohttp.ClientSession:
        settings = self._settings
        connector = aiohttp.TCPConnector(
            limit=settings.connections,
            keepalive_timeout=settings.keep_alive,
            ssl=settings.ssl_context(),
        )
        return aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(sock_connect=_CONNECT_TIMEOUT, sock_read=_READ_TIMEOUT),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                "Accept-Encoding": "identity",
                "User-Agent": f"asgi_bridge/{__version__}",
            },
            skip_auto_headers=("Content-Type",),
            middlewares=(report_breaks,),
        )

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: aiohttp.Payload | None = None,
        redirects: bool = False,
        trusted: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request; yields the response as soon as its head is here.

        Leaving the block before the response's end closes the connection.

        Args:
            body: sent while the response is awaited and read.
            redirects: follow them.
            trusted: the other side may see the bearer token.

        Raises:
            HopBroken: there is no response.
        """
        sent = dict(headers or {})
        if self._settings.token is not None and trusted:
            sent["Authorization"] = f"Bearer {self._settings.token}"
        address = yarl.URL(url, encoded=True)
        session, host = await self.session(), address.raw_authority
        keep = session.kept.begin(host, time.monotonic())
        if not keep:
            sent["Connection"] = "close"
        whole = False
        try:
            response = await session.http.request(
                method, address, headers=sent, data=body, allow_redirects=redirects
            )
            try:
                yield response
            finally:
                whole = response.content.at_eof()
                if whole:
                    response.release()
                else:
                    response.close()
        finally:
            if keep:
                session.kept.end(host, time.monotonic(), usable=whole)

    async def aclose(self) -> None:
        """Close the running loop's connections."""
        session = self._sessions.get(asyncio.get_running_loop()) if self._sessions else None
        if session is not None:
            await session.life.aclose()


async def next_chunk(response: aiohttp.ClientResponse) -> bytes:
    """The next bytes of a response, `b""` at its end.

    Raises:
        HopBroken: it was cut.
    """
    try:
        return await response.content.readany()
    except BROKEN as error:
        raise HopBroken(str(error) or type(error).__name__) from error
