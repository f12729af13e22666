"""The client leaves: what streams is ended as without the bridge, and nothing stays behind."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest

from .departures import ENDED
from .site import SOON, Site, until
from .upstream import thinking

REQUESTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "get": {"method": "GET"},
    "read": {"method": "POST", "body": b"body", "read": 1},
    "unread": {"method": "POST", "body": b"body"},
}
KINDS: Final = ("departures", "departures-http")
MANY: Final = 10

requests = pytest.mark.parametrize("request_", REQUESTS)
# Those that Starlette hears of itself. Else the call is cancelled, and there is no background.
heard = pytest.mark.parametrize("request_", ["get", "read"])
kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    """The port of what is relayed."""
    with thinking() as port:
        yield port


def closed(site: Site, request_: str) -> list[str]:
    """How a dependency is closed.

    A request whose body is unread is the bridge's to listen for, and it cancels the whole call.
    """
    if site.bridged and request_ == "unread":
        return ["rolls back after CancelledError", "closes"]
    return ["commits", "closes"]


def come_and_go(site: Site, path: str, what: bytes, **more: Any) -> None:
    """Ask, wait for the first bytes, and leave."""
    with site.visit(path, **more) as visit:
        visit.until(what)


@kinds
@requests
def test_idle_stream(request_: str, kind: str, site: Site) -> None:
    """It is cancelled, in its own task and context, within a second."""
    key, log = site.key(), site.log()
    come_and_go(site, f"{kind}/idle", b"hello", key=key, **REQUESTS[request_])
    site.until_noted(key, ENDED)
    site.until_noted(f"{key}-session", closed(site, request_))
    assert log.tracebacks == 0, log.text


@kinds
@requests
def test_stream_that_sends(request_: str, kind: str, site: Site) -> None:
    key, log = site.key(), site.log()
    come_and_go(site, f"{kind}/ticking", b"tick", key=key, **REQUESTS[request_])
    site.until_noted(key, ["begins", "ends"])
    site.until_noted(f"{key}-session", closed(site, request_))
    assert log.tracebacks == 0, log.text


@requests
def test_stream_of_a_thread(request_: str, site: Site) -> None:
    """No more is made of it, and its dependency is closed."""
    key, log = site.key(), site.log()
    come_and_go(site, "departures/sync-ticking", b"tick", key=key, **REQUESTS[request_])
    site.until_noted(f"{key}-session", closed(site, request_))
    made = len(site.notes(key))
    assert made < 100
    assert not until(lambda: len(site.notes(key)) > made, bool, 0.1)
    assert log.tracebacks == 0, log.text


@requests
def test_event_source_response(request_: str, site: Site) -> None:
    """sse-starlette listens by itself, whatever version of ASGI it is told of."""
    key, log = site.key(), site.log()
    come_and_go(site, "departures/sse", b"hello", key=key, **REQUESTS[request_])
    site.until_noted(key, ENDED)
    site.until_noted(f"{key}-closed", ["http.disconnect"])
    assert log.tracebacks == 0, log.text


@requests
def test_many_departures_leave_nothing(request_: str, site: Site) -> None:
    before = site.tasks()
    keys = [site.key() for _ in range(MANY)]
    for key in keys:
        come_and_go(site, "departures/idle", b"hello", key=key, **REQUESTS[request_])
    for key in keys:
        site.until_noted(key, ENDED)
    assert until(site.tasks, lambda count: count <= before) <= before


@pytest.mark.parametrize("close", [0, 1])
@requests
def test_upstream_connection_is_given_back(
    request_: str, close: int, upstream: int, site: Site
) -> None:
    """A pool of five connections serves any number of clients that leave."""
    query = {"port": upstream, "close": close, **REQUESTS[request_]}
    for _ in range(5):
        come_and_go(site, "departures/proxy", b"token", key=site.key(), **query)

    def is_served() -> bool:
        with site.visit("departures/proxy", key=site.key(), **query) as visit:
            return b" 200 " in visit.until(b"\r\n\r\n")

    assert until(is_served, bool, SOON)


@heard
def test_background_of_a_file(request_: str, site: Site) -> None:
    key = site.key()
    come_and_go(site, "departures/file", b"\r\n\r\n", key=key, **REQUESTS[request_])
    site.until_noted(key, ["background"])


@heard
def test_background_of_a_stream(request_: str, site: Site) -> None:
    key = site.key()
    come_and_go(site, "departures/background", b"hello", key=key, **REQUESTS[request_])
    site.until_noted(key, [*ENDED, "background"])


def leave_before_the_start(site: Site, path: str, request_: str, **query: Any) -> str:
    """Leave while the endpoint waits, and let it go on; the key of that."""
    key = site.key()
    with site.visit(path, key=key, **query, **REQUESTS[request_]):
        site.until_noted(f"{key}-slot", ["taken"])
    tasks = site.tasks()
    until(site.tasks, lambda count: count < tasks, 0.1)  # the server may hear of it meanwhile
    site.open_gate(key)
    return key


@kinds
@requests
def test_left_before_the_start(request_: str, kind: str, site: Site) -> None:
    """The generator still begins and is ended, so that the next one gets the slot."""
    if site.server.name.startswith("hypercorn") and not site.bridged:
        pytest.skip("its send waits for the client that is gone, and may be cancelled before")
    log = site.log()
    for _ in range(3):
        key = leave_before_the_start(site, f"{kind}/late", request_, place=f"{kind}-{request_}")
        site.until_noted(f"{key}-slot", ["taken", "given back"])
        site.until_noted(key, ["begins", "ends"])
        site.until_noted(f"{key}-session", closed(site, request_))
    assert log.tracebacks == 0, log.text


@pytest.mark.parametrize("route", ["late-background", "late-file", "late-short"])
@heard
def test_background_of_who_left_before_the_start(request_: str, route: str, site: Site) -> None:
    log = site.log()
    key = leave_before_the_start(site, f"departures/{route}", request_)
    site.until_noted(f"{key}-slot", ["taken", "given back"])
    site.until_noted(f"{key}-session", closed(site, request_))
    assert log.tracebacks == 0, log.text
