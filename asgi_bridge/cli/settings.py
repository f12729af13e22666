"""What `asgi-bridge serve` was told, in one value that can be sent to worker processes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The arguments of `asgi-bridge serve`, but for the address.

    Attributes:
        target: as given.
        app_dir: absolute; goes to the front of the import path.
        factory: the target is called to get the app.
        server: a key of `SERVERS`, or `auto` until the target is loaded.
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
