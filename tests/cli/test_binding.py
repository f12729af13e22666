"""The address: how it is read, and why it may not be had."""

import errno
import socket

import pytest

from asgi_bridge.cli.binding import bind, parse_bind, url_of
from asgi_bridge.cli.errors import CommandError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8000", ("127.0.0.1", 8000)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:65535", ("::1", 65535)),
    ],
)
def test_parse(text: str, address: tuple[str, int]) -> None:
    assert parse_bind(text) == address


@pytest.mark.parametrize(
    "text", ["", "8000", ":8000", "host:", "host:port", "host:-1", "host:65536", "::1:80", "[]:1"]
)
def test_bad_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"HOST:PORT|\[::1\]:8000"):
        parse_bind(text)


def test_port_0_is_a_free_port() -> None:
    with bind("127.0.0.1", 0) as bound:
        port = bound.getsockname()[1]
        assert url_of(bound) == f"http://127.0.0.1:{port}"
        assert port > 0
        assert bound.proto == socket.IPPROTO_TCP


@pytest.mark.skipif(not socket.has_ipv6, reason="this Python was built without IPv6")
def test_ipv6_stands_in_brackets() -> None:
    class Bound(socket.socket):
        def getsockname(self) -> tuple[str, int, int, int]:
            return ("::1", 8000, 0, 0)

    with Bound() as bound:
        assert url_of(bound) == "http://[::1]:8000"


def test_taken_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(CommandError) as raised:
            bind("127.0.0.1", port)
    assert str(raised.value) == (
        f"cannot bind 127.0.0.1:{port}: "
        "another process has it; choose another port, or 0 for any free one"
    )


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EINVAL])
def test_port_that_is_not_permitted(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(socket.socket):
        def bind(self, address: object) -> None:
            raise OSError(number, "refused")

    monkeypatch.setattr(socket, "socket", Refusing)
    with pytest.raises(CommandError) as raised:
        bind("127.0.0.1", 80)
    reason = "Invalid argument" if number == errno.EINVAL else "not permitted"
    assert str(raised.value).startswith(f"cannot bind 127.0.0.1:80: {reason}")


def test_address_of_another_machine() -> None:
    # 192.0.2.0/24 is set apart for documentation; nobody has an address of it.
    with pytest.raises(CommandError, match="this machine has no such address"):
        bind("192.0.2.1", 0)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "..", "x" * 64])
def test_host_that_does_not_resolve(host: str) -> None:
    with pytest.raises(CommandError, match="cannot resolve the host"):
        bind(host, 80)
