"""Who sends from a task of its own is not raised at; and what a send is after a disconnect."""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Final

import pytest

from tests.servers.processes import Server

from .forms import Form
from .senders import whole_and_in_part
from .site import PATIENCE, Site, until

MANY: Final = 10
# What each notes when its client has left in the middle.
NOTED: Final[Mapping[str, list[str]]] = {
    "in-a-task": ["done"],
    "in-short-tasks": ["done"],
    "through-a-queue": ["done"],
    "after-listening": ["told", "done"],
    "beside-a-listener": ["told", "done"],
}


@pytest.fixture(params=[pytest.param(Form.WITHOUT, marks=pytest.mark.matrix), Form.AROUND])
def site(request: pytest.FixtureRequest, server: Server) -> Site:
    """Without a bridge and with one around: bare applications have no other place for it."""
    return Site(server, request.param)


@pytest.fixture
def bridged(server: Server) -> Site:
    return Site(server, Form.AROUND)


@pytest.mark.parametrize("name", NOTED)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_bare_sender_is_not_raised_at(method: str, name: str, site: Site) -> None:
    key, log = site.key(), site.log()
    body = b"unread" if method == "POST" else None
    with site.visit(f"bare/{name}", method, key=key, body=body) as visit:
        visit.until(b"tick")
    site.until_noted(key, NOTED[name], PATIENCE)
    assert "Traceback" not in log.text, log.text


def test_client_left_before_the_start(site: Site) -> None:
    key, log = site.key(), site.log()
    with site.visit("bare/before-the-start", key=key):
        site.until_noted(f"{key}-slot", ["taken"])
    site.open_gate(key)
    site.until_noted(key, ["done"], PATIENCE)
    assert "Traceback" not in log.text, log.text


def test_nothing_goes_to_the_server_after_the_disconnect(bridged: Site) -> None:
    """asyncio would say so, under Hypercorn."""
    key, log = bridged.key(), bridged.log()
    with bridged.visit("bare/beside-a-listener", key=key) as visit:
        visit.until(b"tick")
    bridged.until_noted(key, ["told", "done"])
    assert "socket.send() raised" not in log.text


def test_endless_sender_ends(bridged: Site) -> None:
    """Without the bridge nothing ends it."""
    key, log = bridged.key(), bridged.log()
    with bridged.visit("bare/endless", key=key) as visit:
        visit.until(b"tick")
    bridged.until_noted(key, ["met ClientDisconnected"])
    assert "Traceback" not in log.text, log.text


# Not the one with a queue: what its send raises ends the task that empties it, and who fills it
# waits for ever. So it is with the promise, and why it has to be asked for.
@pytest.mark.parametrize("name", [name for name in NOTED if name != "through-a-queue"])
def test_promise_of_a_later_version(name: str, bridged: Site) -> None:
    """`raise_on_disconnect=True` raises at every send after the disconnect."""
    assert bridged.ask("promised/told", key="").body == b"2.4"
    key = bridged.key()
    with bridged.visit(f"promised/{name}", key=key) as visit:
        visit.until(b"tick")
    expected = [*NOTED[name][:-1], "send raised ClientDisconnected"]
    bridged.until_noted(key, expected, PATIENCE)


@pytest.mark.parametrize("method", ["GET", pytest.param("POST", marks=pytest.mark.matrix)])
@pytest.mark.parametrize("kind", ["a2wsgi", "starlettes-wsgi"])
def test_wsgi_survives_its_clients(kind: str, method: str, site: Site) -> None:
    """Ten leave ten workers; all iterables are closed, as without, and the service answers."""
    log = site.log()
    body = b"body" if method == "POST" else None
    keys = [site.key() for _ in range(MANY)]
    with ExitStack() as visits:
        for key in keys:
            visit = visits.enter_context(site.visit(f"{kind}/rows", method, key=key, body=body))
            visit.until(b"row")
    for key in keys:
        site.until_noted(key, ["made all", "closed"], PATIENCE)
    began = time.monotonic()
    assert until(lambda: site.ask(f"{kind}/live").body, lambda told: told == b"open=0") == b"open=0"
    assert time.monotonic() - began < 1
    assert "Traceback" not in log.text, log.text


def test_cancelled_send_leaves_no_part(site: Site) -> None:
    """Each message is there whole or not at all, or the response has no end."""
    with site.visit("slow-readers/", receive_buffer=65536) as visit:
        time.sleep(0.5)  # nothing to wait for: the client is slow
        answer = visit.answer()
    found = whole_and_in_part(answer.body)
    assert not answer.whole or not found["part"], found
    assert found["whole"] >= 1
