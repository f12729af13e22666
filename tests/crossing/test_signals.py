"""SignalChain: hears what the server hears, changes nothing of it, and leaves no trace."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import pytest

from asgi_bridge.crossing.signals import HEARD, SignalChain

Handler = Callable[[int, FrameType | None], None]


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in HEARD}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def heard() -> list[str]:
    """Who was called, in order."""
    return []


@pytest.fixture
def server(heard: list[str]) -> Handler:
    """A server's handler, in place for both signals."""

    def handle(number: int, frame: FrameType | None) -> None:
        heard.append(f"server {signal.Signals(number).name}")

    for number in HEARD:
        signal.signal(number, handle)
    return handle


@pytest.mark.parametrize("number", HEARD)
def test_hears_each_signal_before_the_server(
    number: signal.Signals, heard: list[str], server: Handler
) -> None:
    chain = SignalChain(lambda: heard.append("bridge"))
    chain.install()
    for _ in range(2):
        signal.raise_signal(number)
    assert heard == ["bridge", f"server {number.name}"] * 2
    chain.remove()
    assert signal.getsignal(number) is server


def test_what_the_server_raises_is_raised(server: Handler) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    chain = SignalChain(lambda: None)
    chain.install()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    chain.remove()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("own", [signal.SIG_DFL, signal.SIG_IGN])
def test_no_server_listens(own: signal.Handlers, server: Handler) -> None:
    signal.signal(signal.SIGTERM, own)
    SignalChain(lambda: None).install()
    assert signal.getsignal(signal.SIGTERM) is own
    assert signal.getsignal(signal.SIGINT) is server


def test_an_ignored_interrupt_stays_ignored(server: Handler) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    chain = SignalChain(lambda: None)
    chain.install()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    chain.remove()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_other_threads_have_no_signals(server: Handler) -> None:
    thread = threading.Thread(target=SignalChain(lambda: None).install)
    thread.start()
    thread.join(5)
    assert signal.getsignal(signal.SIGTERM) is server


def test_who_came_after_stays(heard: list[str], server: Handler) -> None:
    chain = SignalChain(lambda: heard.append("bridge"))
    chain.install()
    ours = signal.getsignal(signal.SIGTERM)
    assert callable(ours)
    later: Handler = lambda number, frame: ours(number, frame)  # noqa: E731  # no name of its own
    signal.signal(signal.SIGTERM, later)
    chain.remove()
    assert signal.getsignal(signal.SIGTERM) is later
    signal.raise_signal(signal.SIGTERM)
    assert heard == ["server SIGTERM"]


def test_a_fork_has_another_loop(
    heard: list[str], server: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = SignalChain(lambda: heard.append("bridge"))
    chain.install()
    monkeypatch.setattr(os, "getpid", lambda: 1)
    signal.raise_signal(signal.SIGTERM)
    chain.remove()
    assert heard == ["server SIGTERM"]
