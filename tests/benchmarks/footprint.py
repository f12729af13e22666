"""How much memory a long upload costs the server that handles it (Linux only)."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Final

from .load import SMALL_BYTES, Address, body_of, upload_rate, verify
from .paired import Unusable, alternate, progress
from .report import Row, Target
from .servers import serving
from .settings import Settings

MIB: Final = 1024 * 1024
UPLOAD_BYTES: Final = 1024 * MIB
TARGET: Final = Target(16, at_most=True)
MOST_RUNS: Final = 3  # a peak of memory hardly differs from run to run


def memory_rows(settings: Settings) -> list[Row]:
    """The peak of a server's resident memory over idle, in one PUT of 1 GiB."""
    rows = []
    body_bytes = settings.scaled(UPLOAD_BYTES)
    for server in ("uvicorn", "hypercorn"):
        label = f"PUT of {body_bytes // MIB} MiB, {server}, peak memory over idle"
        progress(label)
        ours, pure = alternate(
            {
                app: functools.partial(peak_over_idle, server, app, upload_of(body_bytes))
                for app in ("upper_bridge", "upper_async")
            },
            runs=min(MOST_RUNS, settings.runs),
            warm_up=False,
        ).values()
        rows.append(
            Row(
                name=label,
                unit="MiB",
                ours=ours,
                peer_name="pure async",
                peer=pure,
                target=TARGET,
                is_ratio=False,
            )
        )
    return rows


def upload_of(body_bytes: int) -> Callable[[Address], object]:
    """One PUT whose answer is read while it is written."""
    return functools.partial(upload_rate, connections=1, body_bytes=body_bytes)


def put_whole(address: Address, *, body_bytes: int) -> None:
    """One PUT whose answer is read once it is written."""
    verify(address, "PUT", body_of(body_bytes), None)


def peak_over_idle(
    server: str,
    app: str,
    load: Callable[[Address], object],
    answer: Callable[[bytes], bytes] = bytes.upper,
) -> float:
    """How far a load raises the resident memory of a server above what it was at rest.

    The server is a new one, at rest after its first, small request.

    Args:
        load: called with the server's address.
        answer: what it makes of a body.

    Returns:
        The difference in MiB.
    """
    body = body_of(SMALL_BYTES)
    with serving(server, app) as running, running.explained():
        process = Path("/proc") / str(running.process.pid)
        if not (process / "clear_refs").exists():
            raise Unusable("needs Linux's /proc")
        verify(running.address, "PUT", body, answer(body))
        (process / "clear_refs").write_text("5")  # VmHWM starts again from what is resident now
        idle_kib = status_kib(process, "VmRSS")
        load(running.address)
        return (status_kib(process, "VmHWM") - idle_kib) / 1024


def status_kib(process: Path, field: str) -> int:
    for line in (process / "status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0])
    raise Unusable(f"no {field} in /proc")
