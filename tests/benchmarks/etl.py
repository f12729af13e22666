"""The ETL server beside AIStore's own FastAPIServer, on uvicorn."""

import functools
from collections.abc import Callable
from typing import Final

from .delivery import deliver
from .etl_apps import digest_of
from .footprint import MIB, MOST_RUNS, peak_over_idle, put_whole, upload_of
from .load import SMALL_BYTES, Address, body_of, put_head, upload_rate
from .paired import Outcome, alternate, progress
from .report import Row, Target
from .settings import Settings
from .wire import CLIENTS, compare, requests_of

OBJECT_BYTES: Final = 64 * MIB
LARGE_BYTES: Final = 1024 * MIB
PEER: Final = "FastAPIServer"
SPEED: Final = {"streaming": Target(2.5), "buffered": Target(1)}
SMALL_SPEED: Final = {"streaming": Target(3), "buffered": Target(1.5)}
LARGE_PEAK: Final = Target(32, at_most=True)


def etl_rows(settings: Settings) -> list[Row]:
    """Objects of 64 MiB and of 1 KiB, and memory, both kinds of ETL server, on uvicorn."""
    return [*_speed(settings), *_small(settings), *_memory(settings)]


def _speed(settings: Settings) -> list[Row]:
    rows = []
    for kind, target in SPEED.items():
        label = f"ETL, {kind} PUT of {settings.scaled(OBJECT_BYTES) // MIB} MiB, uvicorn"
        load = functools.partial(
            upload_rate, connections=1, body_bytes=settings.scaled(OBJECT_BYTES)
        )
        rows.append(_row(label, "MB/s", _compared(label, kind, load, settings), target))
    return rows


def _small(settings: Settings) -> list[Row]:
    rows = []
    load = requests_of(settings, put_head(SMALL_BYTES) + body_of(SMALL_BYTES))
    for kind, target in SMALL_SPEED.items():
        label = f"ETL, {kind} PUTs of 1 KiB, uvicorn, {CLIENTS} connections"
        rows.append(_row(label, "req/s", _compared(label, kind, load, settings), target))
    return rows


def _compared(
    label: str, kind: str, load: Callable[[Address], float], settings: Settings
) -> dict[str, Outcome]:
    progress(label)
    return compare("uvicorn", _apps(kind), load, put=True, runs=settings.runs)


def _memory(settings: Settings) -> list[Row]:
    object_bytes, large_bytes = settings.scaled(OBJECT_BYTES), settings.scaled(LARGE_BYTES)
    loads: tuple[tuple[str, str, Callable[[Address], object], Target, bool], ...] = (
        (
            f"buffered digest of {object_bytes // MIB} MiB",
            "digest",
            functools.partial(put_whole, body_bytes=object_bytes),
            Target(1),
            True,
        ),
        (
            f"buffered PUT of {object_bytes // MIB} MiB",
            "buffered",
            upload_of(object_bytes),
            Target(1),
            True,
        ),
        (
            f"streaming PUT of {large_bytes // MIB} MiB",
            "streaming",
            upload_of(large_bytes),
            LARGE_PEAK,
            False,
        ),
        (
            f"streaming direct put of {large_bytes // MIB} MiB",
            "streaming",
            functools.partial(deliver, body_bytes=large_bytes),
            LARGE_PEAK,
            False,
        ),
    )
    rows = []
    for what, kind, load, target, is_ratio in loads:
        label = f"ETL, {what}, uvicorn, peak memory over idle"
        progress(label)
        answer = digest_of if kind == "digest" else bytes.upper
        peaks = {
            app: functools.partial(peak_over_idle, "uvicorn", app, load, answer)
            for app in _apps(kind)
        }
        outcomes = alternate(peaks, runs=min(MOST_RUNS, settings.runs), warm_up=False)
        rows.append(_row(label, "MiB", outcomes, target, is_cost=True, is_ratio=is_ratio))
    return rows


def _apps(kind: str) -> tuple[str, str]:
    return f"etl_{kind}", f"etl_{kind}_aistore"


def _row(
    label: str,
    unit: str,
    outcomes: dict[str, Outcome],
    target: Target,
    *,
    is_cost: bool = False,
    is_ratio: bool = True,
) -> Row:
    ours, theirs = (outcomes[app] for app in sorted(outcomes))  # theirs has the longer name
    return Row(
        name=label,
        unit=unit,
        ours=ours,
        peer_name=PEER,
        peer=theirs,
        target=target,
        less_is_better=is_cost,
        is_ratio=is_ratio,
    )
