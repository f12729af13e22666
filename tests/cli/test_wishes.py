"""What an app says of how it wants to be served, and which server `serve` takes for it."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asgi_bridge import BridgeMiddleware
from asgi_bridge.cli import serve
from asgi_bridge.cli.loading import PYTHONS_SWITCH_INTERVAL, create_app
from asgi_bridge.cli.settings import Settings
from asgi_bridge.types import Receive, Scope, Send

from .serving import BARE_APP, serving

WISHES = """
class App:
    preferred_server = "uvicorn"
    switch_interval = 0.002
    ws_max_bytes = 64 * 1024 * 1024

    async def __call__(self, scope, receive, send):
        await bare(scope, receive, send)

bare, app = app, App()
"""


class App:
    def __init__(self, **wishes: object) -> None:
        vars(self).update(wishes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("it is not called")


@pytest.mark.parametrize(
    ("app", "worker_class", "server"),
    [
        (App(), "asyncio", "hypercorn"),
        (App(preferred_server="uvicorn"), "asyncio", "uvicorn"),
        (BridgeMiddleware(App(preferred_server="uvicorn")), "asyncio", "uvicorn"),
        (App(preferred_server="uvicorn"), "trio", "hypercorn"),
        (App(preferred_server="daphne"), "asyncio", "hypercorn"),
    ],
)
def test_the_server_that_is_taken(
    app: Any, worker_class: str, server: str, settings: Settings
) -> None:
    assert serve.server_for(app, replace(settings, worker_class=worker_class)) == server


def test_one_that_is_not_installed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "find_spec", lambda name: None)
    assert serve.server_for(App(preferred_server="uvicorn"), settings) == "hypercorn"


@pytest.mark.parametrize(
    ("server", "ws_max_bytes", "told"),
    [
        ("granian", 64 * 1024 * 1024, True),
        ("granian", 1024, False),
        ("uvicorn", 64 * 1024 * 1024, False),
    ],
)
def test_messages_that_a_server_does_not_take(
    server: str,
    ws_max_bytes: int,
    told: bool,
    settings: Settings,
    capsys: pytest.CaptureFixture[str],
) -> None:
    serve.warn_of_messages(App(ws_max_bytes=ws_max_bytes), replace(settings, server=server))
    assert ("frames of 16 MiB at most" in capsys.readouterr().err) is told


def test_the_switch_interval(settings: Settings, here: Path) -> None:
    (here / "target.py").write_text(BARE_APP + WISHES)
    sys.setswitchinterval(PYTHONS_SWITCH_INTERVAL)
    create_app(settings)
    assert sys.getswitchinterval() == pytest.approx(0.002, rel=0.01)


def test_by_the_command(tmp_path: Path) -> None:
    (tmp_path / "target.py").write_text(BARE_APP + WISHES)
    with serving(tmp_path, "target.py:app") as command:
        assert command.answer() == b"plain"
        assert "(uvicorn)" in command.stderr
    with serving(tmp_path, "target.py:app", "--server", "hypercorn") as command:
        assert command.answer() == b"plain"
        assert "(hypercorn)" in command.stderr
