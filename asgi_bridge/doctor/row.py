"""Row: one way of running one server, and what it takes."""

import importlib.metadata
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One way of running one server.

    Attributes:
        name: for the table and for --server.
        server: the package that serves.
        protocol: of HTTP: h1, h2 or h3.
        loop: asyncio, uvloop or trio.
        tls: whether clients connect over TLS, and choose the protocol there (ALPN). In h3 it is
            part of the protocol.
        command: what follows `python -m`; {port}, {app}, {chain} and {key} are put in.
        needs: packages without which it cannot be measured, beside the server's own.
        limits: what no bridge can cure here: names of checks, and why.
    """

    name: str
    server: str
    protocol: str = "h1"
    loop: str = "asyncio"
    tls: bool = False
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()
    limits: Mapping[str, str] = field(default_factory=dict)

    @property
    def secure(self) -> bool:
        """Whether server and clients need a certificate."""
        return self.tls or self.protocol == "h3"

    @property
    def missing(self) -> tuple[str, ...]:
        """The packages that it needs and that are not installed."""
        clients = {"h1": (), "h2": ("h2",), "h3": ("aioquic",)}[self.protocol]
        certified = ("trustme",) if self.secure else ()
        loop = (self.loop,) if self.loop != "asyncio" else ()
        needed = (*self.needs, *clients, *certified, *loop)
        return tuple(each for each in dict.fromkeys(needed) if not is_installed(each))

    @property
    def versions(self) -> str:
        """The installed versions of what takes part."""
        loop = () if self.loop == "asyncio" else (self.loop,)
        return ", ".join(
            f"{each} {importlib.metadata.version(each.replace('_', '-'))}"
            for each in dict.fromkeys((self.server, *self.needs, *loop))
        )


def is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def command_of(row: Row, values: Mapping[str, object]) -> list[str]:
    """The whole command of a row, with its values put in."""
    return [sys.executable, "-m", *(each.format_map(dict(values)) for each in row.command)]
