"""What an application is told of ASGI, and how it may look at that."""

import copy
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from asgi_bridge.protocol.spec import AsgiOfUnreadBody, own_asgi, raises_when_gone

OWN = {"version": "3.0", "spec_version": "2.3", "x": 1}

LOOKS: dict[str, Callable[[AsgiOfUnreadBody], Any]] = {
    "get": lambda asgi: asgi.get("spec_version", "2.0"),
    "item": lambda asgi: asgi["spec_version"],
    "items": lambda asgi: dict(asgi.items())["spec_version"],
    "values": lambda asgi: next(value for value in asgi.values() if value in ("2.3", "2.4")),
    "keys": lambda asgi: (
        [key for key in asgi if key == "spec_version"] and dict(asgi)["spec_version"]
    ),
    "copy": lambda asgi: asgi.copy()["spec_version"],
    "dict": lambda asgi: dict(asgi)["spec_version"],
    "unpacking": lambda asgi: {**asgi}["spec_version"],
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_last_look_decides_what_was_promised(look: Callable[[AsgiOfUnreadBody], Any]) -> None:
    asgi = AsgiOfUnreadBody(OWN)
    seen = [(asgi.promised, look(asgi), asgi.promised)]
    asgi.body_is_read()
    seen.append((asgi.promised, look(asgi), asgi.promised))
    assert seen == [(False, "2.4", True), (True, "2.3", False)]


@pytest.mark.parametrize("look", [lambda asgi: asgi["version"], lambda asgi: asgi.get("x"), repr])
def test_look_at_something_else_promises_nothing(look: Callable[[AsgiOfUnreadBody], Any]) -> None:
    asgi = AsgiOfUnreadBody(OWN)
    look(asgi)
    assert not asgi.promised


@pytest.mark.parametrize("own", [None, {}, {"version": "3.0"}])
def test_version_that_the_server_does_not_say_is_gone_again(own: Mapping[str, Any] | None) -> None:
    asgi = AsgiOfUnreadBody(own)
    asgi.body_is_read()
    assert asgi.get("spec_version", "2.0") == "2.0"


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))]
)
def test_copy_of_a_scope_that_is_deep_has_the_same(copied: Callable[[Any], Any]) -> None:
    asgi = AsgiOfUnreadBody(OWN)
    assert copied(asgi) is asgi


def test_what_the_server_says_is_seen_through_another_bridge() -> None:
    assert own_asgi(AsgiOfUnreadBody(OWN)) is OWN
    assert own_asgi(OWN) is OWN
    assert own_asgi(None) is None


@pytest.mark.parametrize(
    ("asgi", "raises"),
    [
        (None, False),
        ({}, False),
        ({"spec_version": "2.3"}, False),
        ({"spec_version": "none"}, False),
        ({"spec_version": "2.4"}, True),
        ({"spec_version": "2.10"}, True),
    ],
)
def test_servers_that_promise_to_raise(asgi: Mapping[str, Any] | None, raises: bool) -> None:
    assert raises_when_gone(asgi) is raises
