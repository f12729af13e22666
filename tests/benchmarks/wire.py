"""The rows over loopback: real servers in processes of their own, one of them at a time."""

import functools
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Final

from .load import (
    GET,
    SMALL_BYTES,
    Address,
    body_of,
    put_head,
    request_rate,
    upload_rate,
    verify,
)
from .paired import Outcome, Series, alternate, progress
from .report import Row, Target
from .servers import Server, serving
from .settings import Settings

MIB: Final = 1024 * 1024
TURNS: Final = 9  # of a contender, in one run
UPLOAD_BYTES: Final = {1: 64 * MIB, 8: 8 * MIB}  # on each of so many connections, in a turn
VERIFY_BYTES: Final = MIB  # well below what a client may send before it reads
CLIENTS: Final = 32
REQUEST_SECONDS: Final = 0.2  # in a turn


class Contender:
    """One application on a server of its own, which is started when it is first loaded.

    Args:
        stack: ends the server.
        server: its kind.
        app: the application.
        load: what is done to it, returning the figure.
        put: whether it answers a PUT, in upper case.
    """

    def __init__(
        self,
        stack: ExitStack,
        server: str,
        app: str,
        load: Callable[[Address], float],
        *,
        put: bool,
    ) -> None:
        self._start = functools.partial(stack.enter_context, serving(server, app))
        self._load = load
        self._body = body_of(VERIFY_BYTES) if put else None
        self._running: Server | None = None

    def __call__(self) -> float:
        """Load it once."""
        running = self._running or self._begin()
        with running.explained():
            return self._load(running.address)

    def _begin(self) -> Server:
        self._running = running = self._start()
        body = self._body
        method, expected = ("GET", None) if body is None else ("PUT", body.upper())
        with running.explained():
            verify(running.address, method, body, expected)
        return running


def compare(
    server: str, apps: Sequence[str], load: Callable[[Address], float], *, put: bool, runs: int
) -> dict[str, Outcome]:
    """Load every application in short turns, in each run on a server that was started for it.

    Two processes of the same program differ by up to a tenth for as long as they live (measured:
    hello world, of one application beside itself), by where their memory lies and how their
    dictionaries are hashed. A ratio of two of them would keep that; the median of many does not.
    And a machine has slow seconds: turns that are shorter meet both sides of a ratio alike. What a
    run came to is the median of its turns.
    """
    medians: dict[str, list[float]] = {app: [] for app in apps}
    failed: dict[str, Outcome] = {}
    for _ in range(runs):
        with ExitStack() as stack:
            contenders = {
                app: Contender(stack, server, app, load, put=put)
                for app in apps
                if app not in failed
            }
            for app, outcome in alternate(contenders, runs=TURNS).items():
                if isinstance(outcome, Series):
                    medians[app].append(outcome.median)
                else:
                    failed[app] = outcome
    return {app: failed.get(app) or Series(tuple(medians[app])) for app in apps}


def upload_rows(settings: Settings) -> list[Row]:
    """PUT in upper case, full duplex, 1 and 8 connections, on uvicorn and on Hypercorn."""
    rows = []
    for server in ("uvicorn", "hypercorn"):
        for connections, body_bytes in UPLOAD_BYTES.items():
            label = f"PUT upper-case, {server}, {connections} connection{'s'[: connections > 1]}"
            progress(label)
            load = functools.partial(
                upload_rate, connections=connections, body_bytes=settings.scaled(body_bytes)
            )
            apps = ("upper_bridge", "upper_async", "upper_aistore")
            ours, pure, aistore = compare(server, apps, load, put=True, runs=settings.runs).values()
            rows += [
                Row(name=label, unit="MB/s", ours=ours, peer_name=name, peer=peer, target=target)
                for name, peer, target in (
                    ("pure async", pure, Target(0.95)),
                    ("AIStore's classes", aistore, Target(2.5)),
                )
            ]
    return rows


def requests_rows(settings: Settings) -> list[Row]:
    """1 KiB PUTs on 32 connections that stay open, on uvicorn."""
    label = f"1 KiB PUTs, uvicorn, {CLIENTS} connections"
    progress(label)
    peers = {
        "upper_aistore": ("AIStore's classes", Target(8)),
        "upper_a2wsgi": ("a2wsgi", Target(5)),
        "upper_async": ("pure async", Target(0.6)),
    }
    request = put_head(SMALL_BYTES) + body_of(SMALL_BYTES)
    outcomes = compare(
        "uvicorn",
        ("upper_bridge", *peers),
        requests_of(settings, request),
        put=True,
        runs=settings.runs,
    )
    return [
        Row(
            name=label,
            unit="req/s",
            ours=outcomes["upper_bridge"],
            peer_name=name,
            peer=outcomes[app],
            target=target,
        )
        for app, (name, target) in peers.items()
    ]


def hello_rows(settings: Settings) -> list[Row]:
    """Hello world with a BridgeMiddleware above it and without, bare ASGI and FastAPI."""
    rows = []
    for app, title, target in (
        ("hello_bare", "bare ASGI", Target(0.85)),
        ("hello_fastapi", "FastAPI", Target(0.95)),
    ):
        label = f"hello world GET, {title}, uvicorn, {CLIENTS} connections"
        progress(label)
        outcomes = compare(
            "uvicorn",
            (f"{app}_bridged", app),
            requests_of(settings, GET),
            put=False,
            runs=settings.runs,
        )
        rows.append(
            Row(
                name=label,
                unit="req/s",
                ours=outcomes[f"{app}_bridged"],
                peer_name="without it",
                peer=outcomes[app],
                target=target,
            )
        )
    return rows


def requests_of(settings: Settings, request: bytes) -> Callable[[Address], float]:
    """A load of one small request again and again."""
    seconds = REQUEST_SECONDS / (4 if settings.quick else 1)
    return functools.partial(request_rate, request=request, connections=CLIENTS, seconds=seconds)
