"""What other people's test clients met: a second lifespan, headers that can be read once, mocks."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import pytest
from starlette.testclient import TestClient

from asgi_bridge import BridgeMiddleware, Request, Response, handler
from asgi_bridge.testing import Exchange, request
from asgi_bridge.types import ASGIApp, Message, Receive, Scope, Send

LIMIT: Final = 1.0  # seconds; a drain would take two


@handler
def hello(request: Request, response: Response) -> bytes:
    return request.headers.get("x-a", "hello").encode()


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    body = dict(scope["headers"]).get(b"x-a", b"hello")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def looking(scope: Scope, receive: Receive, send: Send) -> None:
    """As `bare`, once it has received a message."""
    await receive()
    await bare(scope, receive, send)


APPS: Final[dict[str, ASGIApp]] = {
    "handler": hello,
    "bridge": BridgeMiddleware(bare),
    "bridge-looking": BridgeMiddleware(looking),
}
apps = pytest.mark.parametrize("name", APPS)


def test_handler_after_its_first_lifespan() -> None:
    """A second client opens the pool again, and so does one without a lifespan."""
    for _ in range(3):
        with TestClient(hello) as client:
            assert client.get("/").status_code == 200
        assert TestClient(hello).get("/").status_code == 200


@pytest.mark.parametrize("name", ["handler", "bridge"])
@pytest.mark.anyio
async def test_headers_that_can_be_read_once(name: str) -> None:
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "headers": iter([(b"x-a", b"1"), (b"content-length", b"0")]),
    }
    exchange = Exchange(APPS[name], scope, receive=[request(b"")])
    await exchange.run()
    assert (exchange.status, exchange.body) == (200, b"1")


async def never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError("it never returns")


async def always_more() -> Message:
    return {"type": "http.request", "body": b"", "more_body": True}


async def always_the_same() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


def ending() -> Callable[[], Awaitable[Message]]:
    """Has one message and then fails, as mocks with a list of effects do."""
    messages: Iterator[Message] = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Message:
        return next(messages, None) or fail()

    return receive


def fail() -> Message:
    raise AssertionError("receive() was called once too often")


RECEIVES: Final[dict[str, Callable[[], Any]]] = {
    "never": lambda: never,
    "always-more": lambda: always_more,
    "always-the-same": lambda: always_the_same,
    "ending": ending,
}


@apps
@pytest.mark.asyncio
@pytest.mark.parametrize("kind", RECEIVES)
@pytest.mark.parametrize("http_version", ["1.0", "1.1"])
async def test_get_without_a_body_waits_for_no_drain(
    http_version: str, kind: str, name: str
) -> None:
    """Over HTTP/1 a GET without a length and a coding has none, whatever `receive` says."""
    if kind == "never" and name == "bridge-looking":
        return  # it waits for the message itself
    scope = {
        "type": "http",
        "http_version": http_version,
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "headers": [],
    }
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async with asyncio.timeout(LIMIT):
        await APPS[name](scope, RECEIVES[kind](), send)
    assert sent[-1].get("more_body", False) is False
    assert b"".join(each.get("body", b"") for each in sent) == b"hello"
