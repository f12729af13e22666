"""The bridge can be seen through: by who is around it, and by who is inside."""

import re
import time
from contextlib import ExitStack
from typing import Final

import pytest

from tests.servers.processes import Server

from .forms import Form
from .scopes import AT_ONCE, SEEN
from .site import SOON, Site, until

FLOOD: Final = 50


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_scope_is_seen_around_the_bridge(method: str, site: Site) -> None:
    """When the response starts, and at the end; and a middleware's `request.scope`, too."""
    key = site.key()
    body = b"body" if method == "POST" else None
    answer = site.ask("watched/items/42", method, key=key, body=body)
    assert (answer.status, answer.header("x-seen")) == (200, SEEN)
    site.until_noted(key, [f"start {SEEN}", f"end {SEEN}"])


def test_context_variables_of_a_get(site: Site) -> None:
    """What an outer `receive` and an outer `send` set is seen inside; and the other way round."""
    key = site.key()
    assert site.ask("varying/", key=key).body == b"done"
    sent = "set in the application in the same task"
    site.until_noted(key, ["set in receive", sent, sent, "set in send", sent])


def test_context_variables_of_sends_for_a_body(site: Site) -> None:
    """`receive` may be called in another task then; `send` is not."""
    key = site.key()
    assert site.ask("varying/", "POST", key=key, body=b"body").body == b"done"
    sent = "set in the application in the same task"
    noted = until(lambda: site.notes(key), lambda noted: len(noted) == 5)
    assert noted[1:] == [sent, sent, "set in send", sent]


def test_scope_is_copied_deeply_inside(site: Site) -> None:
    answer = site.ask("proxied/", headers=["x-forwarded-for: 1.2.3.4"])
    assert (answer.status, answer.body) == (200, b"1.2.3.4")
    answer = site.ask("proxied/", "POST", headers=["x-forwarded-for: 1.2.3.4"], body=b"body")
    assert (answer.status, answer.body) == (200, b"1.2.3.4")


def holds_heads(site: Site) -> bool:
    """Granian does by itself, but for event streams."""
    return site.server.name == "granian"


@pytest.mark.parametrize("name", AT_ONCE)
def test_head_comes_at_once(name: str, site: Site) -> None:
    if holds_heads(site) and name != "sse":
        return  # as without the bridge
    with site.visit(f"subscribing/{name}", key=site.key()) as visit:
        visit.until(b"\r\n\r\n", SOON)


def test_head_is_let_go_after_a_time(site: Site) -> None:
    if holds_heads(site):
        return
    with site.visit("held-for-a-time/text", key=site.key()) as visit:
        visit.until(b"\r\n\r\n", SOON)


def is_broken_off(line: str) -> bool:
    return bool(re.search(r"uploads.*(client|went away|left)", line))


def test_upload_that_breaks_off_is_logged(server: Server) -> None:
    """In one line, with the servers' default set-up of logging; a flood in one a second."""
    bridged = Site(server, Form.AROUND)
    log = bridged.log()
    began = time.monotonic()
    with ExitStack() as visits:
        for _ in range(FLOOD):
            headers = ["content-length: 1000"]
            visit = visits.enter_context(bridged.visit("uploads/", "PUT", headers=headers))
            visit.send(b"some")
    lines = until(
        lambda: [line for line in log.text.splitlines() if is_broken_off(line)], lambda found: False
    )
    assert 1 <= len(lines) <= 2 + time.monotonic() - began, lines
    assert log.tracebacks == 0, log.text
