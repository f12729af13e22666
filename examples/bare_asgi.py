"""A bare ASGI application that runs blocking code over its request body.

Run it and try it:

    asgi-bridge serve examples/bare_asgi.py:app
    curl -T README.md http://127.0.0.1:8000/
"""

import zlib
from collections.abc import Iterator

from asgi_bridge import BodyReader, BridgeMiddleware, iterate_in_worker, open_body
from asgi_bridge.types import Receive, Scope, Send


def compressed(body: BodyReader) -> Iterator[bytes]:
    """Blocking code: it reads a file and yields what it made of it."""
    compressor = zlib.compressobj()
    for chunk in body.chunks():
        yield compressor.compress(chunk)
    yield compressor.flush()


async def deflate(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the body compressed. The blocking code has one thread for the whole of it."""
    if scope["type"] != "http":
        raise NotImplementedError(f"this application serves http, not {scope['type']}")
    headers = [(b"content-type", b"application/zlib")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    async for chunk in iterate_in_worker(compressed(open_body(scope))):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


app = BridgeMiddleware(deflate)
