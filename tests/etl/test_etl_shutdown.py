"""The ETL server hears of its server's shutdown, as every other application of the bridge does."""

import signal
from collections.abc import Iterator
from types import FrameType

import pytest
from asgi_lifespan import LifespanManager

from asgi_bridge.crossing.here import current_portal
from asgi_bridge.etl import ETLServer


class Upper(ETLServer):
    def transform(self, data: bytes, path: str, etl_args: str) -> bytes:
        return data.upper()


def servers_own(number: int, frame: FrameType | None) -> None:
    """What a server does when it is told to end."""


@pytest.fixture
def listening() -> Iterator[None]:
    """A server that listens for SIGTERM."""
    before = signal.signal(signal.SIGTERM, servers_own)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.asyncio
@pytest.mark.usefixtures("listening")
async def test_signal_is_heard_within_the_lifespan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIS_TARGET_URL", "http://127.0.0.1:9")
    heard = list[str]()
    async with LifespanManager(Upper().app):
        current_portal().shutdown.alarm = lambda: heard.append("shutdown")
        signal.raise_signal(signal.SIGTERM)
    assert heard == ["shutdown"]
    assert signal.getsignal(signal.SIGTERM) is servers_own
