"""An application's own failure is never taken for a client that left: it is logged, and handled.

Nobody leaves here. So whatever the application raises goes to the server with its traceback, to the
application's exception handlers, and to its dependencies, as without the bridge.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

import pytest

from .failures import FAILURES
from .forms import Form
from .site import Log, Site, until

TRACEBACK: Final = "Traceback (most recent call last)"
WHEN: Final = ("first", "later")
OS_ERRORS: Final = ("missing", "timeout", "broken-pipe", "full", "disconnected")
# How a request says what body it has: none, one that the endpoint reads, one that nobody reads.
REQUESTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "get": {"method": "GET"},
    "read": {"method": "POST", "body": b"body", "read": 1},
    "unread": {"method": "POST", "body": b"body"},
}


def is_logged(log: Log, *words: str) -> bool:
    """Whether there is a traceback with all of these in it, soon."""

    def has_all(text: str) -> bool:
        return TRACEBACK in text and all(word in text for word in words)

    return has_all(until(lambda: log.text, has_all))


def not_logged(log: Log) -> list[str]:
    """Which of all failures the log does not name, even if one waits for a moment."""

    def missing() -> list[str]:
        text = log.text
        # what has "upstream" for its text is a cause, which some servers log, too
        return [
            failure
            for failure, (_, error) in FAILURES.items()
            if not re.search(rf"\b{error}: (?!upstream)", text)
        ]

    return until(missing, lambda missed: not missed)


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("when", WHEN)
def test_failure_is_logged(when: str, request_: str, site: Site) -> None:
    """With its class and its traceback, and the client is told: a 500, or a cut."""
    log = site.log()
    told = {}
    for failure in FAILURES:
        answer = site.ask(f"failing/{when}/{failure}", key=site.key(), **REQUESTS[request_])
        told[failure] = not answer.whole or answer.status == 500
    assert told == dict.fromkeys(FAILURES, True)
    assert not_logged(log) == []
    assert log.tracebacks >= len(FAILURES)


def seen_inside(
    site: Site, request_: str, *, bridged: Collection[Form] = (Form.INSIDE, Form.AROUND)
) -> dict[str, str]:
    """The class that the application itself is to see of each failure.

    While the request's body is unread, Starlette is told of ASGI 2.4, so that it does not listen
    and nothing is lost of that body. Then it takes each OSError for a disconnect. Whoever is
    around the bridge is shown the failure itself: the server, or a framework's error handlers.
    """
    seen = {failure: error for failure, (_, error) in FAILURES.items()}
    if site.form in bridged and request_ == "unread":
        seen |= dict.fromkeys(OS_ERRORS, "ClientDisconnect")
    return seen


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("when", WHEN)
def test_exception_handler_sees_the_failure(when: str, request_: str, site: Site) -> None:
    noted = {}
    for failure in FAILURES:
        key = site.key()
        site.ask(f"failing/{when}/{failure}", key=key, **REQUESTS[request_])
        noted[failure] = site.notes(key)
    # the handler of all exceptions is around what is added as middleware
    seen = seen_inside(site, request_, bridged=[Form.AROUND])
    assert noted == {failure: [error] for failure, error in seen.items()}


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("when", WHEN)
def test_dependency_sees_the_failure(when: str, request_: str, site: Site) -> None:
    noted = {}
    for failure in FAILURES:
        key = site.key()
        site.ask(f"failing-fastapi/{when}/{failure}", key=key, **REQUESTS[request_])
        noted[failure] = site.notes(key)
    seen = seen_inside(site, request_)
    assert noted == {failure: [f"rolls back after {error}"] for failure, error in seen.items()}


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("sent", range(3))
def test_outer_send_fails(sent: int, request_: str, site: Site) -> None:
    """A middleware around the bridge has no room on its disk for the next message."""
    key, log = site.key(), site.log()
    answer = site.ask(f"full/{sent}", key=key, **REQUESTS[request_])
    assert not answer.whole or answer.status == 500
    assert is_logged(log, "OSError: ", "Errno 28", f"no room for {key}")


@pytest.mark.parametrize("sent", range(3))
def test_outer_send_fails_for_a_bare_application(sent: int, site: Site) -> None:
    """It meets the middleware's own exception, and may name it."""
    key, log = site.key(), site.log()
    answer = site.ask(f"bare-full/{sent}", key=key)
    assert not answer.whole or answer.status == 500
    assert is_logged(log, "OSError: ", "Errno 28", f"no room for {key}")
    assert site.notes(key) == ["OSError 28"]
