"""Worker processes for the servers that serve in one process: several, or one that is renewed.

A worker that was killed, or that somebody else told to end, is replaced. One that failed could not
start, or found itself unable to go on, and so would its successor: then the others are ended too,
and the command fails. Under --reload the next change of a file is waited for instead.
"""

import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from .errors import CommandError, exit_code_of, tell
from .graceful import FORCE_GRACE
from .settings import Settings
from .target import directory_of, parse_target

Serve = Callable[[Settings, socket.socket], int]

# Seconds between two looks at the files' times. Out of the air.
RELOAD_INTERVAL = 0.25


def supervise(serve: Serve, settings: Settings, bound: socket.socket) -> int:
    """Run `serve` in worker processes until SIGINT or SIGTERM; a second one kills them.

    Args:
        serve: a module-level function; runs in each worker.
        settings: say how many, or whether to reload.
        bound: the listening socket that all of them share.

    Raises:
        CommandError: a worker failed.
    """
    workers: list[SpawnProcess] = []
    with noting_signals() as told:
        try:
            if settings.reload:
                renew(workers, serve, settings, bound, told)
            else:
                replace(workers, serve, settings, bound, told)
        finally:
            end(workers, settings, told)
    return 0


def replace(
    workers: list[SpawnProcess],
    serve: Serve,
    settings: Settings,
    bound: socket.socket,
    told: socket.socket,
) -> None:
    while not is_readable(told):
        while len(workers) < settings.workers:
            workers.append(start(serve, settings, bound))
        wait([told, *(worker.sentinel for worker in workers)])
        for worker in [each for each in workers if not each.is_alive()]:
            workers.remove(worker)
            exit_code = worker.exitcode
            assert exit_code is not None, "it is not alive"
            if exit_code > 0:
                raise CommandError(f"a worker process failed, exit code {exit_code}", exit_code=1)
            how = f"was killed by {signal.Signals(-exit_code).name}" if exit_code else "has ended"
            tell(f"a worker process {how}; another one takes its place")


def renew(
    workers: list[SpawnProcess],
    serve: Serve,
    settings: Settings,
    bound: socket.socket,
    told: socket.socket,
) -> None:
    directory = directory_of(parse_target(settings.target), settings.app_dir)
    imported = imported_files()  # once: what is imported from here on has not changed
    while True:
        before = modification_times(directory, imported)
        workers.append(start(serve, settings, bound))
        while modification_times(directory, imported) == before:
            if wait([told], RELOAD_INTERVAL):
                return
        tell("a file has changed; starting again")
        end(workers, settings, told)


def start(serve: Serve, settings: Settings, bound: socket.socket) -> SpawnProcess:
    # A Ctrl-C in a terminal goes to the workers as well. They inherit that it is ignored, until
    # their server handles it; SIGTERM is what the supervisor sends.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        context = multiprocessing.get_context("spawn")
        worker = context.Process(target=work, args=(serve, settings, bound))
        worker.start()
    finally:
        signal.signal(signal.SIGINT, before)
    return worker


def work(serve: Serve, settings: Settings, bound: socket.socket) -> None:
    """What a worker process runs. Until its server handles SIGTERM, that ends it in silence."""
    sys.exit(exit_code_of(lambda: serve(settings, bound)))


def end(workers: list[SpawnProcess], settings: Settings, told: socket.socket) -> None:
    """End the workers and forget them; kill those that are too slow, all if told to end again."""
    while is_readable(told):
        told.recv(1)
    for worker in workers:
        worker.terminate()
    deadline = time.monotonic() + settings.graceful_timeout + FORCE_GRACE
    while alive := [worker.sentinel for worker in workers if worker.is_alive()]:
        ready = wait([told, *alive], max(0.0, deadline - time.monotonic()))
        if not ready or told in ready:
            break
    while workers:
        worker = workers.pop()
        worker.kill()
        worker.join()


@contextmanager
def noting_signals() -> Iterator[socket.socket]:
    """Give a socket that has a byte to read for each SIGINT and SIGTERM that came.

    Something to wait for together with processes, and nothing that raises in between.
    """
    told, noted = socket.socketpair()
    with told, noted:
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {
            number: signal.signal(number, lambda number, frame: noted.send(b"."))
            for number in numbers
        }
        try:
            yield told
        finally:
            for number in numbers:
                signal.signal(number, before[number])


def is_readable(told: socket.socket) -> bool:
    return bool(wait([told], 0))


def imported_files() -> list[str]:
    """The files of all modules of this process, which has loaded the target."""
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    return [file for file in files if file is not None]


def modification_times(directory: Path, imported: list[str]) -> dict[str, int]:
    """When each source file was last changed: all below the directory, and the imported ones."""
    times = {}
    for file in [*imported, *source_files(directory)]:
        try:
            times[file] = os.stat(file).st_mtime_ns
        except OSError:  # in an archive, or gone since it was listed
            times[file] = 0
    return times


def source_files(directory: Path) -> Iterator[str]:
    for parent, directories, files in os.walk(directory):
        if "pyvenv.cfg" in files:  # a virtual environment
            directories.clear()
            continue
        directories[:] = [each for each in directories if not each.startswith((".", "__"))]
        yield from (os.path.join(parent, each) for each in files if each.endswith(".py"))
