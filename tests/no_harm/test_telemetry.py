"""A departure is no failure: whoever reports on an application reports what it would without us."""

from collections.abc import Mapping
from typing import Any, Final

import pytest

from tests.servers.processes import Server

from .forms import Form
from .site import Site, until

# What is reported of a request with nothing wrong in it, by whom.
CLEAN: Final[Mapping[str, list[str]]] = {
    "opentelemetry": ["UNSET 0 events"],
    "datadog": ["200 error=0"],
    "sentry": [],
    "elastic": ["HTTP 2xx success"],
}
FAILED: Final[Mapping[str, list[str]]] = {
    "opentelemetry": ["ERROR 1 events"],
    "datadog": ["500 error=1"],
    "sentry": ["event ['TimeoutError']"],
    "elastic": ["error TimeoutError", "HTTP 2xx success"],
}
REQUESTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "get": {"method": "GET"},
    "read": {"method": "POST", "body": b"body", "read": 1},
    "unread": {"method": "POST", "body": b"body"},
}
DEPARTURES: Final = ("idle", "ticking", "late")
SIZES: Final = (3000, 30_000)  # Sentry reads up to 10 kB

# Of a request whose body is unread the bridge cancels the call, which who is inside sees.
heard = pytest.mark.parametrize("request_", ["get", "read"])
departures = pytest.mark.parametrize("route", DEPARTURES)


def leave(site: Site, reporter: str, route: str, request_: str) -> str:
    """Come, leave, and wait until the application has ended; the key of that."""
    key = site.key()
    with site.visit(f"{reporter}/{route}", key=key, **REQUESTS[request_]) as visit:
        if route == "late":
            until(lambda: site.notes(f"{key}-late"), bool)
        else:
            visit.until(b"hello" if route == "idle" else b"tick")
    site.open_gate(key)
    return key


def counted(site: Site, route: str, method: str) -> dict[str, float]:
    """How often each status was counted for a route by starlette_exporter."""
    counts = {}
    for line in site.ask("prometheus/metrics").body.decode().splitlines():
        if line.startswith(f"{site.form}_requests_total{{"):
            labels, _, count = line.rpartition(" ")
            if f'path="/{route}"' in labels and f'method="{method}"' in labels:
                counts[labels.partition('status_code="')[2][:3]] = float(count)
    return counts


@departures
@heard
@pytest.mark.parametrize("reporter", CLEAN)
def test_departure_is_reported_as_no_failure(
    reporter: str, request_: str, route: str, reported: Site
) -> None:
    key = leave(reported, reporter, route, request_)
    if route == "idle":
        reported.until_noted(f"{key}-session", ["commits", "closes"])
    else:
        until(lambda: "ends" in reported.notes(f"{key}-ticking"), bool)
    reported.until_noted(f"{key}-reported", CLEAN[reporter])


@pytest.mark.parametrize("reporter", ["opentelemetry", "datadog", "elastic"])
def test_departure_from_an_unread_body(reporter: str, observed: Server) -> None:
    """Whoever is around the bridge sees a call that returns."""
    site = Site(observed, Form.INSIDE)
    key = leave(site, reporter, "idle", "unread")
    site.until_noted(f"{key}-reported", CLEAN[reporter])


@departures
@heard
def test_departure_is_counted_as_a_200(request_: str, route: str, reported: Site) -> None:
    method = str(REQUESTS[request_]["method"])
    before = counted(reported, route, method)
    leave(reported, "prometheus", route, request_)
    expected = {**before, "200": before.get("200", 0) + 1}
    seen = until(lambda: counted(reported, route, method), lambda counts: counts == expected)
    assert seen == expected


@pytest.mark.parametrize("reporter", FAILED)
def test_failure_is_reported(reporter: str, reported: Site) -> None:
    """A failure is one, though, and the application's own."""
    key = reported.key()
    reported.ask(f"{reporter}/failing", key=key)
    reported.until_noted(f"{key}-reported", FAILED[reporter])


def test_failure_is_counted(reported: Site) -> None:
    before = counted(reported, "failing", "GET")
    reported.ask("prometheus/failing", key=reported.key())
    expected = {"500": before.get("500", 0) + 1}
    seen = until(lambda: counted(reported, "failing", "GET"), lambda counts: counts == expected)
    assert seen == expected


def test_path_is_counted_by_its_route(reported: Site) -> None:
    """starlette_exporter finds the route in the scope that it has passed on."""
    before = counted(reported, "items/{item}", "GET").get("200", 0)
    assert reported.ask("prometheus/items/42").body == b"42"
    assert counted(reported, "items/{item}", "GET") == {"200": before + 1}


def test_no_span_is_added(reported: Site) -> None:
    """No `receive` of ours is among the spans, nor one that ends after its parent."""
    key = reported.key()
    reported.ask("opentelemetry/hello", key=key)
    reported.until_noted(f"{key}-reported-children", ["send send"])
    key = reported.key()
    reported.ask("opentelemetry/stream", "POST", key=key, body=b"body")
    noted = until(lambda: reported.notes(f"{key}-reported-children"), bool)
    # the body comes in one message or in two
    assert noted in (["receive send send"], ["receive receive send send"])
    reported.until_noted(f"{key}-reported", CLEAN["opentelemetry"])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("route", ["stream", "open", "open-async"])
@pytest.mark.parametrize(
    "reporter", ["nobody", "sentry", "elastic", "elastic-bodies", "opentelemetry", "datadog"]
)
def test_open_body_behind_a_reporter(
    reporter: str, route: str, size: int, reported_bridged: Site
) -> None:
    """Some have read the body before the application does, and keep it or tell it again."""
    key = reported_bridged.key()
    headers = ["content-type: application/octet-stream"]
    answer = reported_bridged.ask(
        f"{reporter}/{route}", "POST", key=key, headers=headers, body=b"x" * size
    )
    assert (answer.status, answer.body) == (200, b'{"bytes":%d}' % size)
