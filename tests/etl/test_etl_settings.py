"""The environment of a pod, and whom it lets see its secrets."""

import ssl
from pathlib import Path

import pytest

from asgi_bridge.etl.settings import Settings, resolve_ssl_config

TARGET = {"AIS_TARGET_URL": "http://10.1.2.3:51081/v1/etl/_object/e/s"}


def settings_for(**environ: str) -> Settings:
    return Settings.from_environment({**TARGET, **environ})


def test_defaults() -> None:
    assert settings_for() == Settings(target_url=TARGET["AIS_TARGET_URL"])


def test_the_target_is_needed() -> None:
    with pytest.raises(EnvironmentError, match="AIS_TARGET_URL"):
        Settings.from_environment({})


@pytest.mark.parametrize(
    "name", ["AIS_DIRECT_PUT_RETRIES", "MAX_CONN", "MAX_KEEPALIVE_CONN", "KEEPALIVE_EXPIRY"]
)
def test_a_number_that_is_none(name: str) -> None:
    with pytest.raises(ValueError, match="x1"):
        settings_for(**{name: "x1"})


def test_values() -> None:
    settings = settings_for(
        AIS_DIRECT_PUT_RETRIES="-1",
        AIS_DIRECT_PUT_CHUNK_SIZE="0",
        ETL_DIRECT_FQN=" Yes ",
        direct_put="true",
        AIS_AUTHN_TOKEN="t",
        AIS_ETL_FQN_ROOTS="/a: /b :",
    )
    assert (settings.retries, settings.slice_bytes) == (0, 1024 * 1024)
    assert (settings.direct_fqn, settings.direct_put, settings.token) == (True, True, "t")
    assert settings.fqn_roots == ("/a", "/b")


@pytest.mark.parametrize(
    ("environ", "verify", "certificate"),
    [
        ({}, True, None),
        ({"AIS_SKIP_VERIFY": "true"}, False, None),
        ({"AIS_SKIP_VERIFY_CRT": "false", "AIS_SKIP_VERIFY": "true"}, True, None),
        ({"AIS_CLIENT_CA": "/ca"}, "/ca", None),
        ({"AIS_CLIENT_CA": "/ca", "AIS_SKIP_VERIFY_CRT": "1"}, False, None),
        ({"AIS_CRT": "/c"}, True, None),
        ({"AIS_CRT": "/c", "AIS_CRT_KEY": "/k"}, True, ("/c", "/k")),
    ],
)
def test_ssl_config(
    environ: dict[str, str], verify: bool | str, certificate: tuple[str, str] | None
) -> None:
    assert resolve_ssl_config(environ) == (verify, certificate)


def test_ssl_contexts(tmp_path: Path) -> None:
    assert settings_for().ssl_context().verify_mode is ssl.CERT_REQUIRED
    unverified = settings_for(AIS_SKIP_VERIFY="t").ssl_context()
    assert (unverified.verify_mode, unverified.check_hostname) == (ssl.CERT_NONE, False)
    missing = str(tmp_path / "missing.pem")
    with pytest.raises(FileNotFoundError):
        settings_for(AIS_CLIENT_CA=missing).ssl_context()
    with pytest.raises(FileNotFoundError):
        settings_for(AIS_CRT=missing, AIS_CRT_KEY=missing).ssl_context()


@pytest.mark.parametrize(
    ("target", "hosts", "url", "trusted"),
    [
        ("http://127.0.0.1:1/p", "", "http://127.0.0.1:2/x", True),
        ("http://127.0.0.1:1/p", "", "http://127.0.0.2:1/x", False),
        ("http://127.0.0.1:1/p", "", "http://169.254.169.254/x", False),
        ("http://10.1.2.3:1/p", "", "http://10.200.0.9:1/x", True),
        ("http://10.1.2.3:1/p", "", "http://192.168.0.9:1/x", False),
        ("http://10.1.2.3:1/p", "", "http://8.8.8.8/x", False),
        ("http://10.1.2.3:1/p", "", "http://evil.example/x", False),
        ("http://8.8.8.8/p", "", "http://8.8.8.9/x", False),
        ("http://t-0.ais.svc.local/p", "", "http://t-1.ais.svc.local/x", True),
        ("http://t-0.ais.svc.local/p", "", "http://t-1.other.svc.local/x", False),
        ("http://a.example/p", "", "http://b.example/x", False),
        ("http://10.1.2.3/p", "*.ais.local", "http://t.ais.local/x", True),
        ("http://10.1.2.3/p", "*.ais.local", "http://ais.local/x", False),
        ("http://10.1.2.3/p", "Node-1, 10.2.0.0/16", "http://node-1/x", True),
        ("http://10.1.2.3/p", "node-1,10.2.0.0/16", "http://10.2.3.4/x", True),
        ("http://10.1.2.3/p", "node-1,10.2.0.0/16", "http://10.3.3.4/x", False),
        ("http://10.1.2.3/p", "10.2.0.0/16", "http://name/x", False),
        ("http://10.1.2.3/p", "10.2.0.0/16", "http://10.1.2.3:9/x", True),
    ],
)
def test_trust(target: str, hosts: str, url: str, trusted: bool) -> None:
    environ = {"AIS_TARGET_URL": target, "AIS_ETL_TRUSTED_HOSTS": hosts}
    assert Settings.from_environment(environ).trusts(url) is trusted


def test_a_block_that_is_none() -> None:
    with pytest.raises(ValueError, match="zz"):
        settings_for(AIS_ETL_TRUSTED_HOSTS="10.0/zz")
