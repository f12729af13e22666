"""The rows over loopback: real servers in processes of their own, one of them at a time."""

import functools
from collections.abc import Callable, Sequence
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
from .paired import Outcome, alternate, progress
from .report import Row, Target
from .servers import serving
from .settings import Settings

MIB: Final = 1024 * 1024
UPLOAD_BYTES: Final = {1: 256 * MIB, 8: 32 * MIB}  # on each of so many connections
VERIFY_BYTES: Final = MIB  # well below what a client may send before it reads
CLIENTS: Final = 32
REQUEST_SECONDS: Final = 1.0


def compare(
    server: str, apps: Sequence[str], load: Callable[[Address], float], *, put: bool, runs: int
) -> dict[str, Outcome]:
    """Load every application in turn, in each run on a server that was started for it.

    Two processes of the same program differ by up to a tenth for as long as they live (measured:
    hello world, of one application beside itself), by where their memory lies and how their
    dictionaries are hashed. A ratio of two of them would keep that; the median of many does not.
    """
    body = body_of(VERIFY_BYTES) if put else None

    def measure(app: str) -> float:
        with serving(server, app) as running:
            verify(running.address, "PUT" if put else "GET", body, body.upper() if body else None)
            load(running.address)  # warms up
            return load(running.address)

    measures = {app: functools.partial(measure, app) for app in apps}
    return alternate(measures, runs=runs, warm_up=False)


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
