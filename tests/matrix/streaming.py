"""Has the applications of each framework stream a body back on one server, sent in every way."""

import asyncio
import gzip
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final

from asgi_bridge.doctor.checks.asking import Ask, Asking
from asgi_bridge.doctor.checks.bodies import FEW, LARGE, SENDERS, Pace
from asgi_bridge.doctor.clients.base import BLOCK
from asgi_bridge.doctor.outcomes import Finding, Outcome, intact
from asgi_bridge.doctor.probe import Session, alive, answer, gone_after
from asgi_bridge.doctor.processes import STARTING, Processes
from asgi_bridge.doctor.row import Row
from tests.frameworks.apps import ON_ASYNCIO
from tests.frameworks.recipes import BEYOND_US, TAKEN_WHOLE

# Seconds after which an answer is a hang: where it may be one, by the protocol, and where it would
# be a failure. On an idle machine most take less than 0.2 s, in HTTP/3 1 s.
HANG: Final[Mapping[str, float]] = {"h1": 2.5, "h2": 2.5, "h3": 8.0}
PATIENCE: Final = 40.0

# Where it is known for a hang.
HOPELESS: Final = 1.0

# What a fast client sends. 3 MB is above what the bridge keeps in memory for one request; the
# clients of HTTP/2 and HTTP/3 take seconds of the processor's for that.
UPLOADS: Final[Mapping[str, Sequence[bytes]]] = {
    "h1": [bytes([65 + number % 26]) * BLOCK for number in range(48)],
    "h2": LARGE,
    "h3": LARGE[:4],
}

# In which ways a client sends: at which pace, and whether it declares a length.
WAYS: Final[Mapping[str, tuple[Pace, bool]]] = {
    f"{pace.name.lower()}-{'length' if declared else 'chunked'}": (pace, declared)
    for pace in Pace
    for declared in (True, False)
}

# By the name of an application, and then by the way in which the client sends.
Findings = Mapping[str, Mapping[str, Finding]]


def runs_on(row: Row, name: str) -> bool:
    """Whether an application's framework runs there at all."""
    return row.loop != "trio" or not name.startswith(ON_ASYNCIO)


def limit_of(row: Row, name: str, way: str) -> str | None:
    """Why a body need not come back even with the bridge, None where it has to."""
    lock_step = WAYS[way][0] is Pace.LOCK_STEP
    if lock_step and "body-lock-step-length" in row.limits:
        return row.limits["body-lock-step-length"]
    return BEYOND_US.get(name) or (TAKEN_WHOLE.get(name) if lock_step else None)


async def streamed(
    row: Row, app: str, names: Iterable[str], processes: Processes, *, due: bool
) -> Findings:
    """Ask applications on one server, one after the other, each in all ways at once.

    A server that does not survive it is replaced.

    Args:
        row: the server.
        app: the table of applications, as the module of `processes` calls it.
        names: of the applications.
        processes: starts the server.
        due: whether a body has to come back, and who waits for it is patient.
    """
    findings: dict[str, Mapping[str, Finding]] = {}
    async with AsyncExitStack() as running:

        async def start() -> int:
            port = await running.enter_async_context(processes.serving(row, app))
            # gunicorn listens before its worker has loaded the applications
            await alive(row, port, processes.certificate, STARTING)
            return port

        port = await start()
        for name in names:
            if not runs_on(row, name):
                continue
            it = findings[name] = await asked(row, name, port, processes, due)
            if not sound(it) and not await alive(row, port, processes.certificate):
                findings[name] = {
                    way: each if good(each) else gone_after(each) for way, each in it.items()
                }
                await running.aclose()
                port = await start()
    return findings


def good(finding: Finding) -> bool:
    return finding.outcome is Outcome.OK


def sound(findings: Mapping[str, Finding]) -> bool:
    return all(map(good, findings.values()))


async def asked(
    row: Row, name: str, port: int, processes: Processes, due: bool
) -> Mapping[str, Finding]:
    """Ask one application in all ways at the same time."""

    async def ask(way: str) -> Finding:
        limit = HANG[row.protocol]
        if due:
            limit = HOPELESS if limit_of(row, name, way) else PATIENCE
        session = Session(row, port, processes.certificate)
        return await answer(comes_back(row, name, way), session, limit)

    return dict(zip(WAYS, await asyncio.gather(*map(ask, WAYS)), strict=True))


def comes_back(row: Row, name: str, way: str) -> Ask:
    """A check that sends a body to an application and has it sent back."""
    pace, declared = WAYS[way]
    chunks = UPLOADS[row.protocol] if pace is Pace.FAST else FEW
    # Who is in lock-step has no use for an answer that is compressed, and so collected.
    coded = name.endswith("-gzip") and pace is not Pace.LOCK_STEP
    due = b"".join(chunks)

    async def ask(asking: Asking) -> Finding:
        connection = await asking.connect()
        exchange = await connection.request(
            "PUT",
            f"/{name}/",
            length=len(due) if declared else None,
            headers=[("accept-encoding", "gzip")] if coded else (),
        )
        seen = await SENDERS[pace](exchange, chunks)
        return intact(gzip.decompress(seen) if coded else seen, due)

    return ask
