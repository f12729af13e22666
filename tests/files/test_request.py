"""Request: what the scope says, in words, as a handler sees it."""

import contextlib

import pytest

from asgi_bridge import Request, Response, WorkerPool, handler
from asgi_bridge.testing import Exchange, request, scope_for
from asgi_bridge.types import Scope

from .uploads import TIMEOUT

pytestmark = pytest.mark.anyio


async def seen(scope: Scope) -> Request:
    """The request that a handler is called with for a scope."""
    requests: list[Request] = []

    def keep(request: Request, response: Response) -> bytes:
        requests.append(request)
        return request.body.read()

    async with contextlib.aclosing(WorkerPool(size=1)) as pool:
        app = handler(keep, pool=pool)
        exchange = Exchange(app, scope, receive=[request(b"the body")], timeout=TIMEOUT)
        await exchange.run()
    assert exchange.body == b"the body"
    return requests[0]


async def test_what_the_scope_says() -> None:
    scope = scope_for(method="POST", path="/a b", headers=[(b"x-one", b"1")], query_string=b"c=d")
    request = await seen(scope)
    assert (request.method, request.path, request.query_string) == ("POST", "/a b", "c=d")
    assert {key: request.scope[key] for key in scope} == scope
    assert request.headers["X-One"] == "1"
    assert request.headers is request.headers
    assert repr(request) == "<Request POST /a b>"


@pytest.mark.parametrize(
    ("sent", "items"),
    [
        (b"", []),
        (b"a=1&b=2", [("a", "1"), ("b", "2")]),
        (b"a=1&b=2&a=3", [("a", "1"), ("b", "2"), ("a", "3")]),
        (b"a=&b&=c", [("a", ""), ("b", ""), ("", "c")]),
        (b"a=b+c%20d&%C3%A9=%e2%82%ac", [("a", "b c d"), ("é", "€")]),
        (b"a=%ff", [("a", "\ufffd")]),
        (b"a=1;b=2", [("a", "1;b=2")]),
    ],
)
async def test_query(sent: bytes, items: list[tuple[str, str]]) -> None:
    request = await seen(scope_for(query_string=sent))
    assert request.query_items == items
    assert request.query == dict(items)
    assert request.query_string == sent.decode()


async def test_the_last_of_a_repeated_parameter_counts() -> None:
    request = await seen(scope_for(query_string=b"a=1&b=2&a=3"))
    assert request.query == {"a": "3", "b": "2"}


async def test_a_scope_without_a_query_string() -> None:
    scope = scope_for()
    del scope["query_string"]
    request = await seen(scope)
    assert (request.query_string, request.query_items, request.query) == ("", [], {})
