"""What the log says of objects that did not come out as they should, and of the transform's own."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from asgi_bridge.etl import ETLServer
from asgi_bridge.etl.reports import level_of
from asgi_bridge.etl.testing import FakeTarget, Reset, Status, refusing, serving


class LoggedBuffered(ETLServer):
    def transform(self, data: bytes, path: str, etl_args: str) -> bytes:
        if etl_args == "fail":
            raise ValueError("boom")
        return data.upper()


class LoggedStreaming(ETLServer):
    def transform_stream(self, reader: IO[bytes], path: str, etl_args: str) -> Iterator[bytes]:
        if etl_args == "fail":
            raise ValueError("boom")
        yield reader.read().upper()


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTarget]:
    with FakeTarget() as target:
        monkeypatch.setenv("AIS_TARGET_URL", target.url)
        monkeypatch.setenv("AIS_DIRECT_PUT_RETRIES", "0")
        yield target


@pytest.fixture(params=[LoggedBuffered, LoggedStreaming])
def server(request: Any, target: FakeTarget) -> Any:
    return request.param()


def lines(caplog: pytest.LogCaptureFixture, name: str) -> list[tuple[str, str]]:
    return [(each.levelname, each.getMessage()) for each in caplog.records if each.name == name]


def test_one_line_for_each_failure(
    server: Any, target: FakeTarget, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name, missing = type(server).__name__, tmp_path / "missing"
    destination = target.destination("ais/@#/d/o")
    target.order(Status(status=507, body=b"no\nspace"), method="PUT")
    with serving(server.app) as etl, refusing() as nobody:
        answers = [
            etl.push("b/1", b"abc", args="fail"),
            etl.push("b/2", fqn=missing),
            etl.push("b/3", fqn="/proc/self/environ"),
            etl.push("b/4", b"abc", pipeline=["a", "", "b"]),
            etl.push("b/5", b"abc", pipeline=["http://10.1.2.3/x"]),
            etl.push("b/6", b"abc", pipeline=[destination]),
            etl.push("b/7", fqn=__file__ + "x", pipeline=[destination]),
            etl.pull("ais/@#/b/8"),
            etl.push("b/9", fqn=tmp_path / "missing", pipeline=[destination]),
            etl.push("b/10", b"abc", pipeline=[nobody]),
            etl.push("b/11", b"abc", pipeline=[nobody], args="fail"),
        ]
    statuses = [500, 404, 403, 400, 403, 507, 404, 404, 404]
    statuses += [502 if name == "LoggedBuffered" else 503, 500]
    assert [answer.status for answer in answers] == statuses
    said = [line for _, line in lines(caplog, name)]
    assert [line.partition(":")[0] for line in said] == [
        "the transform of 'b/1' failed",
        *(f"'b/{number}'" for number in range(2, 8)),
        "'ais/@#/b/8'",
        *(f"'b/{number}'" for number in (9, 10)),
        "the transform of 'b/11' failed",
    ]
    for line, status in list(zip(said, statuses, strict=True))[1:-1]:
        assert f": {status} " in line
    assert f"next hop {destination}" in said[5]
    assert "no space" in said[5]
    assert "AIS_ETL_TRUSTED_HOSTS" in said[4]
    levels = [level for level, _ in lines(caplog, name)]
    assert levels == ["ERROR" if status >= 500 else "WARNING" for status in statuses]
    assert "s3cr3t" not in "".join(said)


def test_a_line_for_each_retry(
    target: FakeTarget, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AIS_DIRECT_PUT_RETRIES", "1")
    target.order(Reset())
    with serving(LoggedBuffered().app) as etl:
        assert etl.push("b/o", b"abc", pipeline=[target.destination("ais/@#/d/o")]).status == 204
    (line,) = lines(caplog, "LoggedBuffered")
    assert "delivery 1 of 2 failed, again in 1 s" in line[1]


@pytest.mark.parametrize(
    ("text", "level"),
    [("", logging.INFO), (" debug ", logging.DEBUG), ("WARNING", logging.WARNING), ("15", 15)],
)
def test_levels(text: str, level: int) -> None:
    assert level_of(text) == level


def test_no_level() -> None:
    with pytest.raises(ValueError, match="'LOUD'"):
        level_of("loud")


TRANSFORM = """
from asgi_bridge.etl import FastAPIServer

class Server(FastAPIServer):
    def __init__(self):
        super().__init__()
        self.logger.info("loading the model")
        self.logger.debug("in detail")

    def transform(self, data, path, etl_args):
        return data

app = Server().app
"""


@pytest.mark.parametrize(
    ("level", "said"),
    [(None, ["INFO"]), ("DEBUG", ["INFO", "DEBUG"]), ("ERROR", [])],
)
def test_to_stdout_without_being_asked(level: str | None, said: list[str], tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(TRANSFORM)
    environment = {**os.environ, "AIS_TARGET_URL": "http://127.0.0.1:9/p"}
    environment.pop("LOG_LEVEL", None)
    if level is not None:
        environment["LOG_LEVEL"] = level
    done = subprocess.run(
        [sys.executable, "-c", "import server"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert [line.split(" - ")[1:3] for line in done.stdout.splitlines()] == [
        ["Server", each] for each in said
    ]
    assert done.stderr == ""
