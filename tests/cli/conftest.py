import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asgi_bridge.cli.loading import load_target
from asgi_bridge.cli.settings import Settings


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory whose modules are forgotten with it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    known = set(sys.modules)
    interval = sys.getswitchinterval()
    yield tmp_path
    sys.setswitchinterval(interval)
    load_target.cache_clear()
    for name in set(sys.modules) - known:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]


@pytest.fixture
def settings(here: Path) -> Settings:
    """Settings that name `app` in `target.py`, which is yet to be written, in `here`."""
    return Settings(
        target="target.py:app",
        app_dir=str(here),
        factory=False,
        server="hypercorn",
        workers=1,
        worker_class="asyncio",
        reload=False,
        log_level="warning",
        access_log=False,
        keep_alive_timeout=75,
        graceful_timeout=1,
    )
