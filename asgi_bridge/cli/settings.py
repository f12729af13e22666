"""What `asgi-bridge serve` was told, in a form that reaches the servers' worker processes.

Hypercorn, uvicorn and granian start their workers as fresh processes and give them an import
string. Ours names a function of `workers`, which finds the settings in the environment.
"""

import json
import os
from dataclasses import asdict, dataclass
from typing import Any

VARIABLE = "ASGI_BRIDGE_SERVE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The arguments of `asgi-bridge serve`.

    Attributes:
        target: as given.
        app_dir: absolute; goes to the front of the import path.
        factory: the target is called to get the app.
        server: a key of `SERVERS`.
        workers: number of processes.
        worker_class: Hypercorn's.
        reload: start again when a source file changes.
        log_level: of every logger that has none of its own.
        access_log: one line for each request.
        keep_alive_timeout: seconds that an idle connection stays open.
        graceful_timeout: seconds that running requests have after SIGINT and SIGTERM.
    """

    target: str
    app_dir: str
    factory: bool
    server: str
    workers: int
    worker_class: str
    reload: bool
    log_level: str
    access_log: bool
    keep_alive_timeout: int
    graceful_timeout: int

    def hand_over(self) -> None:
        """Put the settings where this process's children find them."""
        os.environ[VARIABLE] = json.dumps(asdict(self))

    @classmethod
    def handed_over(cls) -> "Settings":
        """What `hand_over` put there, in this process or in a parent of it."""
        fields: dict[str, Any] = json.loads(os.environ[VARIABLE])
        return cls(**fields)
