"""Runs the checks of one server in two columns: without the bridge, and with it."""

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from typing import Final

from .certificate import Certificate
from .checks import CHECKS, Check
from .checks.asking import Ask, get
from .clients.base import Broken, Connection
from .clients.h1 import H1Connection
from .outcomes import Finding, Outcome
from .processes import STARTING, NotStarted, Processes
from .row import Row, is_installed

BARE: Final = "bare"
BRIDGED: Final = "bridged"

# Seconds in which a server that still serves answers "hello".
ALIVE: Final = 2.0

# How many processes of a server share a column: without the bridge there is much to wait for.
SIDE_BY_SIDE: Final = {BARE: 4, BRIDGED: 2}

# How many times its limit a check has that is asked again.
PATIENCE: Final = 4

OnFinding = Callable[[str, str, Finding], None]


@dataclass(frozen=True, slots=True)
class Measured:
    """What all checks have found for one row.

    Attributes:
        row: which.
        bare: without the bridge, by the check's name; without those that need it.
        bridged: with it.
    """

    row: Row
    bare: Mapping[str, Finding]
    bridged: Mapping[str, Finding]

    def holds(self, name: str) -> bool:
        """Whether the bridge has done what it is for, or has left alone what it is not for."""
        bridged = self.bridged[name]
        if CHECKS[name].passing:
            return bridged.outcome is self.bare.get(name, bridged).outcome
        return bridged.outcome is Outcome.OK

    @property
    def failures(self) -> list[str]:
        """The checks that do not hold, without those that no bridge can make hold."""
        return [
            name for name in self.bridged if not self.holds(name) and name not in self.row.limits
        ]


def checks_for(row: Row, app: str) -> dict[str, Check]:
    """The checks that make sense in one column of one row."""
    return {
        name: check
        for name, check in CHECKS.items()
        if row.protocol in check.protocols
        and (app == BRIDGED or check.bare)
        and (check.needs is None or is_installed(check.needs))
    }


async def measure(
    row: Row,
    processes: Processes,
    on_finding: OnFinding,
    names: frozenset[str] | None = None,
    columns: tuple[str, ...] = (BARE, BRIDGED),
) -> Measured:
    """Ask everything that makes sense of one server; both columns at the same time.

    Args:
        row: whom.
        processes: starts it.
        on_finding: called with the column, the check's name and what was found.
        names: of the checks to make; all when left out.
        columns: one of them, or both.

    Raises:
        NotStarted: the server does not serve.
    """
    failed: BaseException
    try:
        async with asyncio.TaskGroup() as tasks:
            running = {
                app: tasks.create_task(Column(row, app, processes, on_finding).run(names))
                for app in columns
            }
    except* NotStarted as group:
        failed = group
    else:
        found = {app: task.result() for app, task in running.items()}
        return Measured(row, found.get(BARE, {}), found.get(BRIDGED, {}))
    while isinstance(failed, BaseExceptionGroup):  # one of them says it
        failed = failed.exceptions[0]
    raise failed


class Column:
    """One application on one server, in processes side by side that share the checks.

    In each process one check follows the other, so that what one does to its server is not
    taken for another's; a server that a check has brought down is replaced.
    """

    def __init__(
        self,
        row: Row,
        app: str,
        processes: Processes,
        on_finding: OnFinding,
    ) -> None:
        self._row = row
        self._app = app
        self._processes = processes
        self._on_finding = on_finding
        self._waiting: deque[str] = deque()
        self._findings: dict[str, Finding] = {}

    async def run(self, names: frozenset[str] | None) -> dict[str, Finding]:
        checks = [
            name for name in checks_for(self._row, self._app) if names is None or name in names
        ]
        self._waiting.extend(checks)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(SIDE_BY_SIDE[self._app], len(checks))):
                tasks.create_task(self._work())
        return {name: self._findings[name] for name in checks}

    async def _work(self) -> None:
        while self._waiting:
            async with self._processes.serving(self._row, self._app) as port:
                # gunicorn listens before its worker has loaded the application
                await alive(self._row, port, self._processes.certificate, STARTING)
                gone = False
                while self._waiting and not gone:
                    name = self._waiting.popleft()
                    finding = self._findings[name] = await self._ask(name, port)
                    self._on_finding(self._app, name, finding)
                    gone = finding.outcome is Outcome.GONE

    async def _ask(self, name: str, port: int) -> Finding:
        check, due = CHECKS[name], self._app == BRIDGED and name not in self._row.limits
        finding = await self._answer(check, port)
        if finding.outcome is Outcome.OK:
            return finding
        living = await alive(self._row, port, self._processes.certificate)
        if living and due and not check.passing:
            # A machine that is busy with something else can make a hang of what is only slow.
            return await self._answer(check, port, PATIENCE)
        return finding if living else gone_after(finding)

    async def _answer(self, check: Check, port: int, times: int = 1) -> Finding:
        session = Session(self._row, port, self._processes.certificate)
        return await answer(check.ask, session, check.limit * times)


async def alive(row: Row, port: int, certificate: Certificate | None, limit: float = ALIVE) -> bool:
    """Whether a server still answers anybody, within so many seconds."""
    async with Session(row, port, certificate) as session:
        with suppress(TimeoutError, Broken, OSError):
            async with asyncio.timeout(limit):
                return await get(await session.connect(), "/hello") == (200, b"hello")
    return False


async def answer(ask: Ask, session: "Session", limit: float) -> Finding:
    """Ask one question in so many seconds; close what it has opened."""
    began = time.monotonic()
    async with session:
        try:
            async with asyncio.timeout(limit):
                finding = await ask(session)
        except TimeoutError:
            finding = Finding(Outcome.HANG, f"nothing more for {limit:g} s")
        except (Broken, OSError) as error:
            finding = Finding(Outcome.BROKEN, str(error))
    return replace(finding, seconds=round(time.monotonic() - began, 3))


def gone_after(finding: Finding) -> Finding:
    """The same, for a server that has not survived it."""
    return replace(finding, outcome=Outcome.GONE, detail=f"{finding.outcome}: {finding.detail}")


class Session:
    """The connections of one check."""

    def __init__(self, row: Row, port: int, certificate: Certificate | None) -> None:
        self._row = row
        self._port = port
        self._certificate = certificate
        self._open = AsyncExitStack()

    async def __aenter__(self) -> "Session":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._open.aclose()

    async def connect(self) -> Connection:
        connection = await self._connect()
        self._open.push_async_callback(connection.close)
        return connection

    async def _connect(self) -> Connection:
        # Imported here: who asks HTTP/1.1 alone needs neither package.
        protocol, tls = self._row.protocol, None
        if self._row.secure:
            assert self._certificate is not None, "the row needs trustme, which makes one"
            if protocol == "h3":
                from .clients.h3 import H3Connection

                return await H3Connection.open(self._port, self._certificate.authority)
            tls = self._certificate.trusted(protocol)
        if protocol == "h2":
            from .clients.h2 import H2Connection

            return await H2Connection.open(self._port, tls)
        return await H1Connection.open(self._port, tls)

    def new_key(self) -> str:
        return uuid.uuid4().hex
