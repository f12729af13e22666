"""The app and the logging of a process that serves."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from asgi_bridge import BridgeMiddleware
from asgi_bridge.cli.errors import CommandError
from asgi_bridge.cli.loading import (
    ACCESS_LOGGERS,
    CANCELLATION_LOGGERS,
    create_app,
    is_no_cancellation,
)
from asgi_bridge.cli.settings import Settings
from asgi_bridge.handler import HandlerApp

from .serving import BARE_APP


@pytest.fixture(autouse=True)
def loggers_as_they_were() -> Iterator[None]:
    yield
    for name in ACCESS_LOGGERS:
        logging.getLogger(name).setLevel(logging.NOTSET)
    for name in CANCELLATION_LOGGERS:
        logging.getLogger(name).removeFilter(is_no_cancellation)


def test_one_app_for_each_process(settings: Settings, here: Path) -> None:
    (here / "target.py").write_text(BARE_APP)
    made = create_app(settings)
    assert isinstance(made, BridgeMiddleware)
    assert create_app(replace(settings)) is made


def test_target_that_broke_meanwhile(settings: Settings) -> None:
    with pytest.raises(CommandError, match=r"there is no file target\.py"):
        create_app(settings)


def test_target_that_broke_under_reload(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert isinstance(create_app(replace(settings, reload=True)), HandlerApp)
    assert capsys.readouterr().err == "asgi-bridge: error: there is no file target.py\n"
