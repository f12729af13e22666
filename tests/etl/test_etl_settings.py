"""The environment of a pod."""

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
    "name",
    [
        "AIS_DIRECT_PUT_RETRIES",
        "AIS_ETL_CONCURRENCY",
        "MAX_CONN",
        "MAX_KEEPALIVE_CONN",
        "KEEPALIVE_EXPIRY",
    ],
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
        AIS_ETL_CONCURRENCY=" 8 ",
    )
    assert (settings.retries, settings.slice_bytes) == (0, 1024 * 1024)
    assert (settings.direct_fqn, settings.direct_put, settings.token) == (True, True, "t")
    assert settings.fqn_roots == ("/a", "/b")
    assert settings.concurrency == 8


def test_a_slash_at_the_end_of_the_target() -> None:
    assert settings_for(AIS_TARGET_URL="http://t/p/").target_url == "http://t/p"


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


def test_a_block_that_is_none() -> None:
    with pytest.raises(ValueError, match="zz"):
        settings_for(AIS_ETL_TRUSTED_HOSTS="10.0/zz")
