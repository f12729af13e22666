"""What the environment changes: contract 1.4. Each test has a pod of its own."""

import os
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from asgi_bridge.etl.testing import FakeTarget, Reset

from .pods import PYTHON, SCRUBBED, pod_running

UNAME: Final = "ais/@#/dst/obj"
LIMIT: Final = 30
MODES: Final = ("buffered", "streaming")
OPENSSL: Final = (
    "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost "
    "-addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem"
)


@pytest.fixture
def target() -> Iterator[FakeTarget]:
    with FakeTarget() as it:
        yield it


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with key.pem and cert.pem, which signs itself."""
    directory = tmp_path_factory.mktemp("tls")
    subprocess.run(OPENSSL.split(), cwd=directory, check=True, capture_output=True, timeout=LIMIT)
    return directory


@pytest.fixture
def https_target(certificate: Path) -> Iterator[FakeTarget]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    with FakeTarget(tls=context) as it:
        it.objects["b/o"] = b"abc"
        yield it


def test_direct_fqn(tmp_path: Path, target: FakeTarget) -> None:
    """transform() is given the name of the file, cleaned."""
    source = tmp_path / "a b"
    source.write_bytes(b"abc")
    with pod_running(tmp_path, target, environment={"ETL_DIRECT_FQN": "true"}) as pod:
        answer = pod.ais.push("b/o", fqn=f"/{source}/", args="do:report")
        assert f'"source": "{source}"'.encode() in answer.body
        assert pod.ais.push("b/o", fqn=source).body == b"ABC"
        assert pod.ais.push("b/o", b"body").body == b"BODY"
        assert pod.ais.push("b/o", fqn="/proc/self/environ").status >= 400


def test_direct_fqn_means_nothing_to_streams(tmp_path: Path, target: FakeTarget) -> None:
    source = tmp_path / "object"
    source.write_bytes(b"abc")
    environment = {"ETL_DIRECT_FQN": "true"}
    with pod_running(tmp_path, target, mode="streaming", environment=environment) as pod:
        assert pod.ais.push("b/o", fqn=source).body == b"ABC"


@pytest.mark.parametrize("name", ["DIRECT_PUT", "direct_put"])
@pytest.mark.parametrize("value", ["true", "false"])
def test_direct_put_changes_nothing(
    tmp_path: Path, target: FakeTarget, name: str, value: str
) -> None:
    with pod_running(tmp_path, target, environment={name: value}) as pod:
        assert pod.ais.push("b/o", b"abc", pipeline=[target.destination(UNAME)]).status == 204


@pytest.mark.parametrize("mode", MODES)
def test_no_retries(tmp_path: Path, target: FakeTarget, mode: str) -> None:
    source = tmp_path / "object"
    source.write_bytes(b"abc")
    target.order(Reset(), times=None)
    environment = {"AIS_DIRECT_PUT_RETRIES": "0"}
    with pod_running(tmp_path, target, mode=mode, environment=environment) as pod:
        answer = pod.ais.push("b/o", fqn=source, pipeline=[target.destination(UNAME)])
    assert (answer.status, len(target.puts())) == (502, 1)


def test_pauses_between_attempts(tmp_path: Path, target: FakeTarget) -> None:
    target.order(Reset(), times=2)
    began = time.monotonic()
    environment = {"AIS_DIRECT_PUT_RETRIES": "2"}
    with pod_running(tmp_path, target, environment=environment) as pod:
        answer = pod.ais.push("b/o", b"abc", pipeline=[target.destination(UNAME)])
    assert (answer.status, len(target.puts())) == (204, 3)
    assert time.monotonic() - began >= 3, "1 s and 2 s"


def test_no_token(tmp_path: Path, target: FakeTarget) -> None:
    target.objects["b/o"] = b"abc"
    with pod_running(tmp_path, target, environment={"AIS_AUTHN_TOKEN": ""}) as pod:
        assert pod.ais.pull("b/o").body == b"ABC"
    assert target.gets()[0].header("authorization") is None


@pytest.mark.parametrize("mode", MODES)
def test_proxies_do_not_come_between(tmp_path: Path, target: FakeTarget, mode: str) -> None:
    """A target is next door; a proxy would be given the secret and the token."""
    target.objects["b/o"] = b"abc"
    environment = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    with pod_running(tmp_path, target, mode=mode, environment=environment) as pod:
        assert pod.ais.pull("b/o").body == b"ABC"


def test_roots_of_files(tmp_path: Path, target: FakeTarget) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    for path in (inside / "object", outside):
        path.write_bytes(b"abc")
    (inside / "link").symlink_to(outside)
    with pod_running(tmp_path, target, environment={"AIS_ETL_FQN_ROOTS": str(inside)}) as pod:
        assert pod.ais.push("b/o", fqn=inside / "object").body == b"ABC"
        assert pod.ais.push("b/o", fqn=outside).status >= 400
        assert pod.ais.push("b/o", fqn=inside / ".." / "outside").status >= 400
        assert pod.ais.push("b/o", fqn=inside / "link").status >= 400
        assert pod.ais.push("b/o", fqn=f"{inside}-not/object").status >= 400


@pytest.mark.parametrize("mode", MODES)
def test_mime_type(tmp_path: Path, target: FakeTarget, mode: str) -> None:
    environment = {"ETL_MIME": "image/png"}
    with pod_running(tmp_path, target, mode=mode, environment=environment) as pod:
        assert pod.ais.push("b/o", b"abc").header("content-type") == "image/png"


@pytest.mark.parametrize("mode", MODES)
def test_target_that_is_not_there(tmp_path: Path, mode: str) -> None:
    with FakeTarget() as target:
        pass
    target.port = 9  # nobody listens there
    with pod_running(tmp_path, target, mode=mode) as pod:
        answer = pod.ais.pull("b/o")
        assert answer.status == 502
        assert b"Network error" in answer.body
        assert pod.ais.push("b/o", b"abc").body == b"ABC"


@pytest.mark.parametrize(
    ("environment", "status"),
    [
        ({}, 502),
        ({"AIS_CLIENT_CA": "{cert}"}, 200),
        ({"AIS_SKIP_VERIFY_CRT": "yes"}, 200),
        ({"AIS_SKIP_VERIFY": "1"}, 200),
        ({"AIS_SKIP_VERIFY_CRT": "false", "AIS_SKIP_VERIFY": "true"}, 502),
        ({"AIS_CLIENT_CA": "{cert}", "AIS_SKIP_VERIFY_CRT": "on"}, 200),
        ({"AIS_CLIENT_CA": "{cert}", "AIS_CRT": "{cert}"}, 200),
        ({"AIS_CLIENT_CA": "{cert}", "AIS_CRT": "{cert}", "AIS_CRT_KEY": "{key}"}, 200),
    ],
    ids=lambda each: "+".join(each) if isinstance(each, dict) else str(each),
)
def test_tls(
    tmp_path: Path,
    https_target: FakeTarget,
    certificate: Path,
    environment: dict[str, str],
    status: int,
) -> None:
    paths = {"cert": str(certificate / "cert.pem"), "key": str(certificate / "key.pem")}
    given = {name: value.format(**paths) for name, value in environment.items()}
    given.setdefault("AIS_DIRECT_PUT_RETRIES", "0")
    with pod_running(tmp_path, https_target, mode="streaming", environment=given) as pod:
        assert pod.ais.pull("b/o").status == status
        node = https_target.destination(UNAME)
        answer = pod.ais.push("b/o", b"abc", pipeline=[node])
    assert answer.status == (204 if status == 200 else 503)
    assert https_target.stored == ({UNAME: b"ABC"} if status == 200 else {})


def test_client_certificate(tmp_path: Path, certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    context.load_verify_locations(certificate / "cert.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    environment = {
        "AIS_CLIENT_CA": str(certificate / "cert.pem"),
        "AIS_CRT": str(certificate / "cert.pem"),
        "AIS_CRT_KEY": str(certificate / "key.pem"),
    }
    with FakeTarget(tls=context) as target:
        target.objects["b/o"] = b"abc"
        with pod_running(tmp_path, target, environment=environment) as pod:
            assert pod.ais.pull("b/o").body == b"ABC"


def test_scheme_of_the_node_is_its_own(
    tmp_path: Path, https_target: FakeTarget, certificate: Path
) -> None:
    """3.11: on an HTTPS cluster every hop to another stage went to https:// and failed."""
    environment = {"AIS_CLIENT_CA": str(certificate / "cert.pem")}
    with (
        pod_running(tmp_path, https_target, environment=environment) as pod,
        FakeTarget() as plain,
    ):
        answer = pod.ais.push("b/o", b"abc", pipeline=[pod.url])
        assert (answer.status, answer.body) == (200, b"ABC")
        assert pod.ais.push("b/o", b"abc", pipeline=[plain.destination(UNAME)]).status == 204


# Ends before it serves.


def construct(environment: dict[str, str], code: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in SCRUBBED}
    prologue = "from tests.etl.blackbox.transforms import Base, Buffered, Streaming\n"
    return subprocess.run(
        [PYTHON, "-c", prologue + code],
        env={**kept, "ETL_EVENTS": "/dev/null", **environment},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


TARGET: Final = {"AIS_TARGET_URL": "http://127.0.0.1:9/v1/etl/_object/e/s"}


@pytest.mark.parametrize("name", ["Buffered", "Streaming"])
def test_no_target_url(name: str) -> None:
    ended = construct({}, f"{name}()")
    assert ended.returncode == 1
    assert "OSError" in ended.stderr
    assert "AIS_TARGET_URL" in ended.stderr


def test_no_transform() -> None:
    ended = construct(TARGET, "class Empty(Base): pass\nEmpty()")
    expected = "TypeError: Empty must override either transform() or transform_stream()"
    assert expected in ended.stderr


def test_both_transforms() -> None:
    code = (
        "class Both(Base):\n"
        "    def transform(self, data, path, etl_args): return data\n"
        "    def transform_stream(self, reader, path, etl_args): yield b''\n"
        "assert Both().use_streaming is False"
    )
    ended = construct(TARGET, code)
    assert ended.returncode == 0, ended.stderr


def test_attributes_of_a_server() -> None:
    code = (
        "s = Buffered(host='127.0.0.1', port=9)\n"
        "assert (s.host, s.port) == ('127.0.0.1', 9)\n"
        "assert s.host_target == 'http://127.0.0.1:9/v1/etl/_object/e/s'\n"
        "assert s.get_mime_type() == 'application/octet-stream'\n"
        "s.logger.info('hello')\n"
        "assert callable(s.app) and callable(s.start)\n"
        "assert not Buffered().use_streaming and Streaming().use_streaming"
    )
    ended = construct(TARGET, code)
    assert ended.returncode == 0, ended.stderr


def test_default_address() -> None:
    ended = construct(TARGET, "s = Buffered()\nassert (s.host, s.port) == ('0.0.0.0', 8000)")
    assert ended.returncode == 0, ended.stderr


def test_retries_that_are_no_number() -> None:
    ended = construct({**TARGET, "AIS_DIRECT_PUT_RETRIES": "many"}, "Buffered()")
    assert "ValueError" in ended.stderr


def test_limit_of_open_files_is_raised() -> None:
    code = (
        "import resource as r\n"
        "hard = r.getrlimit(r.RLIMIT_NOFILE)[1]\n"
        "r.setrlimit(r.RLIMIT_NOFILE, (256, hard))\n"
        "Buffered()\n"
        "assert r.getrlimit(r.RLIMIT_NOFILE)[0] == hard"
    )
    ended = construct(TARGET, code)
    assert ended.returncode == 0, ended.stderr


def test_missing_ca_does_not_serve(tmp_path: Path) -> None:
    """A pod that cannot verify anyone must not become ready."""
    with (
        FakeTarget() as target,
        pytest.raises(AssertionError, match="has ended"),
        pod_running(tmp_path, target, environment={"AIS_CLIENT_CA": "/no/such/ca.pem"}),
    ):
        pass
