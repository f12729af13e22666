"""Which hosts may see the ETL's secret and the bearer token."""

import pytest

from asgi_bridge.etl import trust as module
from asgi_bridge.etl.settings import Settings
from asgi_bridge.etl.trust import Address, Trust, address_of, look_up

ADDRESSES = {
    "target-0.ais": "10.1.2.3",
    "node": "10.1.2.4",
    "outside": "8.8.8.8",
    "evil.com": "10.1.2.5",
    "creds": "169.254.169.254",
}


def trust_of(target: str, hosts: str = "") -> Trust:
    environ = {"AIS_TARGET_URL": f"http://{target}/p", "AIS_ETL_TRUSTED_HOSTS": hosts}
    return Settings.from_environment(environ).trust


@pytest.mark.parametrize(
    ("target", "host", "trusted"),
    [
        ("127.0.0.1:1", "127.0.0.1:2", True),
        ("127.0.0.1", "127.0.0.2", True),
        ("127.0.0.1", "localhost", True),
        ("localhost", "127.0.0.1", True),
        ("localhost", "[::1]", True),
        ("127.0.0.1", "[::ffff:127.0.0.1]", True),
        ("127.0.0.1", "10.1.2.3", False),
        ("10.1.2.3", "127.0.0.1", False),
        ("10.1.2.3", "localhost", False),
        ("target-0", "localhost", False),
        # Private addresses, of whatever block.
        ("10.1.2.3", "10.200.0.9", True),
        ("10.1.2.3", "192.168.0.9", True),
        ("192.168.0.9", "100.64.0.1", True),
        ("10.1.2.3", "[fd12::1]", True),
        ("10.1.2.3", "8.8.8.8", False),
        ("8.8.8.8", "10.1.2.3", False),
        # Where clouds keep credentials.
        ("127.0.0.1", "169.254.169.254", False),
        ("10.1.2.3", "169.254.169.254", False),
        ("10.1.2.3", "[::ffff:169.254.169.254]", False),
        ("169.254.1.1", "169.254.169.254", False),
        ("[fd12::1]", "[fd00:ec2::254]", False),
        ("100.64.0.1", "100.100.100.200", False),
        ("[fe80::1]", "[fe80::2]", False),
        ("target-0", "metadata", False),
        ("a.google.internal", "metadata.google.internal", False),
        # Public addresses of one network.
        ("8.8.8.8", "8.8.8.9", True),
        ("8.8.8.8", "8.8.9.8", False),
        ("[2600:1:2:3::1]", "[2600:1:2:3:ffff::1]", True),
        ("[2600:1:2:3::1]", "[2600:1:2:4::1]", False),
        ("8.8.8.8", "[2600:1:2:3::1]", False),
        # Names.
        ("target-0", "target-1", True),
        ("a.ais", "b.ais", True),
        ("a.ais", "a.other", False),
        ("a.ais.", "b.ais", True),
        ("t-0.ais.svc.local", "t-1.ais.svc.local", True),
        ("t-0.ais.svc.local", "t-1.other.svc.local", False),
        ("t-0.cluster.example.com", "t-1.cluster.example.com", True),
        ("a.example", "b.example", False),
        ("a.com", "b.com", False),
        ("a.de", "b.de", False),
        ("a.co.uk", "b.co.uk", False),
        ("10.1.2.3", "evil.example", False),
        ("target-0", "10.1.2.3", False),
    ],
)
def test_without_a_list(target: str, host: str, trusted: bool) -> None:
    assert trust_of(target).knows(f"http://{host}/x") is trusted


@pytest.mark.parametrize(
    ("hosts", "host", "trusted"),
    [
        ("*.ais.local", "t.ais.local", True),
        ("*.ais.local", "ais.local", False),
        ("Node-1, 10.2.0.0/16", "node-1", True),
        ("node-1,10.2.0.0/16", "10.2.3.4", True),
        ("node-1,10.2.0.0/16", "10.3.3.4", False),
        ("10.2.0.0/16", "name", False),
        ("10.2.0.0/16", "10.1.2.3:9", True),
        ("0.0.0.0/0", "169.254.169.254", False),
        ("169.254.169.254", "169.254.169.254", True),
    ],
)
@pytest.mark.anyio
async def test_with_a_list(hosts: str, host: str, trusted: bool) -> None:
    trust = trust_of("10.1.2.3", hosts)
    assert trust.knows(f"http://{host}/x") is trusted
    assert await trust.finds(f"http://{host}/x") is trusted


@pytest.mark.parametrize(
    ("target", "host", "trusted"),
    [
        ("target-0.ais", "10.1.2.3", True),
        ("target-0.ais", "10.9.9.9", True),
        ("target-0.ais", "8.8.8.8", False),
        ("target-0.ais", "nowhere", False),
        ("10.1.2.3", "target-0.ais", True),
        ("10.1.2.3", "node", True),
        ("10.1.2.3", "outside", False),
        ("10.1.2.3", "creds", False),
        ("creds", "169.254.169.254", False),
        ("10.1.2.3", "metadata", False),
        ("10.1.2.3", "evil.com", False),  # its owner may have it lead elsewhere in a moment
        ("8.8.8.8", "outside", True),
    ],
)
@pytest.mark.anyio
async def test_with_names_looked_up(
    target: str, host: str, trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def looked_up(name: str) -> tuple[Address, ...]:
        asked.append(name)
        address = address_of(ADDRESSES.get(name, ""))
        return () if address is None else (address,)

    monkeypatch.setattr(module, "look_up", looked_up)
    trust = trust_of(target)
    assert not trust.knows(f"http://{host}/x")
    assert await trust.finds(f"http://{host}/x") is trusted
    before = asked[:]
    assert await trust.finds(f"http://{host}/x") is trusted
    assert asked == before, "an answer stands for a while"
    assert "evil.com" not in asked


@pytest.mark.anyio
async def test_not_every_name_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anyone may ask for as many names as there are."""
    asked: list[str] = []

    def nowhere(name: str) -> tuple[Address, ...]:
        asked.append(name)
        return ()

    monkeypatch.setattr(module, "look_up", nowhere)
    monkeypatch.setattr(module, "_MOST_REMEMBERED", 2)
    trust = trust_of("10.1.2.3")
    for name in ("one", "two", "three", "one"):
        assert not await trust.finds(f"http://{name}/x")
    assert asked == ["one", "two", "three", "one"]


def test_look_up() -> None:
    assert any(each.is_loopback for each in look_up("localhost"))
    assert look_up("no..name") == ()
    assert look_up("x" * 64) == ()
