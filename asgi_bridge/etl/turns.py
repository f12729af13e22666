# Where a buffered transform runs.
#
# Transforms are written for one call at a time: they keep a model, a connection, a counter on
# `self`. AIStore's own server calls `transform` on its event loop's thread, so there it never runs
# twice at once, and always on the thread on which the server object was made.
#
# Rule 1: as many transforms run at once as there are threads; the others wait, first come, first
#         served. One that nobody waits for any more is left out.
# Rule 2: with one thread, the server object is made on that thread, too. sqlite3 connections and
#         thread-locals of `__init__` are then at home where `transform` runs.
# Rule 3: the threads stay until the server object is garbage, idle or not, and whatever lifespans
#         begin and end meanwhile. They hold no server object and no finished turn.
# Rule 4: with no threads at all (`size` 0) a transform runs on the caller's thread: that of the
#         event loop, which waits meanwhile.
"""Turns: the threads on which a server object is made, and its buffered transforms run."""

import asyncio
import os
import sys
import threading
import weakref
from abc import ABCMeta
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread

T = TypeVar("T")

_Turn = tuple["Future[Any]", Callable[[], Any]]
_here: Final = threading.local()  # `turns`: a weak reference to those whose thread this is


class Turns:
    """Threads that take turns at calling functions, in the order in which these came.

    Args:
        size: most calls at once; 0 for the caller's own thread. May be raised later.
        name: prefix of the threads' names.

    In the child of a fork the threads begin anew.

    Threads: `call` anywhere, `run` on an event loop's.
    """

    def __init__(self, size: int, name: str) -> None:
        self.size = size
        self._name = name
        self._lock = threading.Lock()
        self._start_over()

    def _start_over(self) -> None:
        self._process = os.getpid()
        self._queue: SimpleQueue[_Turn | None] = SimpleQueue()
        self._threads = 0  # guarded by the lock
        self._idle = threading.Semaphore(0)  # idle threads that no call counts on yet
        self._stop: list[object] = []  # anything in it: the threads end

    @staticmethod
    def here() -> "Turns | None":
        """Those whose thread this is."""
        reference = getattr(_here, "turns", None)
        found: Turns | None = reference() if reference is not None else None
        return found

    def call(self, function: Callable[[], T]) -> T:
        """Call a function when its turn has come, and wait for it; blocking."""
        if not self.size or Turns.here() is self:
            return function()
        return self._submit(function).result()

    async def run(self, function: Callable[[], T]) -> T:
        """`call`, for a task. If that is cancelled before its turn, the function is not called."""
        if not self.size:
            return function()
        future = self._submit(function)
        try:
            asyncio.get_running_loop()
        except RuntimeError:  # trio
            return await self._run_elsewhere(future)
        return await asyncio.wrap_future(future)

    async def _run_elsewhere(self, future: "Future[T]") -> T:
        try:
            return await anyio.to_thread.run_sync(
                future.result, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1)
            )
        except BaseException:
            future.cancel()
            raise

    def _submit(self, function: Callable[[], T]) -> "Future[T]":
        future: Future[T] = Future()
        if self._process != os.getpid():
            self._start_over()
        context = copy_context()
        self._queue.put((future, lambda: context.run(function)))
        if self._threads < self.size and not self._idle.acquire(blocking=False):
            self._add_thread()
        return future

    def _add_thread(self) -> None:
        with self._lock:
            if self._threads >= self.size:
                return
            if not self._threads:
                weakref.finalize(self, stop, self._queue, self._stop).atexit = False
            self._threads += 1
            number = self._threads
        threading.Thread(
            target=take_turns,
            args=(self._queue, self._idle, self._stop, weakref.ref(self)),
            name=f"{self._name}-{number}",
            daemon=True,
        ).start()


def stop(queue: "SimpleQueue[_Turn | None]", told: list[object]) -> None:
    """Have threads end; the first of them tells the next."""
    told.append(None)
    queue.put(None)


def take_turns(
    queue: "SimpleQueue[_Turn | None]",
    idle: threading.Semaphore,
    told: list[object],
    turns: "weakref.ref[Turns]",
) -> None:
    """The body of a thread: call what comes, until told to end."""
    _here.turns = turns
    # What `asyncio.get_event_loop()` gives a transform, as it does on the thread of a loop.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        while (turn := queue.get()) is not None:
            work_off(*turn)
            del turn
            idle.release()
        queue.put(None)
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def work_off(future: "Future[Any]", function: Callable[[], Any]) -> None:
    """Call a function for its future, unless nobody waits for it any more."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(function())
    except BaseException as error:
        future.set_exception(error)
        del future, function  # else the error's frames and the future hold each other


class MadeOnItsThread(ABCMeta):
    """The class of classes whose buffered servers are made on the thread of their transform."""

    def __call__(cls, *args: Any, **options: Any) -> Any:
        """Make an object; its `__init__` finds the thread with `Turns.here`."""
        if not cls._made_on_its_thread():  # type: ignore[attr-defined]
            return super().__call__(*args, **options)
        turns = Turns(1, "etl-transform")
        make = super().__call__
        with unlocked_imports():
            return turns.call(lambda: make(*args, **options))


@contextmanager
def unlocked_imports() -> Iterator[None]:
    """Let another thread import the modules that this one is in the middle of importing.

    A server object is often made while its module is imported, by `app = Server().app`. Made on
    another thread, it could not look into that module, with `pickle` for example: Python would have
    the one thread wait until the import ends, and the import waits for the thread.
    """
    specs = [getattr(module, "__spec__", None) for module in list(sys.modules.values())]
    begun = [each for each in specs if getattr(each, "_initializing", False)]
    for spec in begun:
        spec._initializing = False  # type: ignore[union-attr]
    try:
        yield
    finally:
        for spec in begun:
            spec._initializing = True  # type: ignore[union-attr]
