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
from functools import partial
from queue import SimpleQueue
from typing import Any, Final, Generic, TypeVar

import anyio
import anyio.to_thread

T = TypeVar("T")

_here: Final = threading.local()  # `turns`: a weak reference to those whose thread this is

# Seconds that an event loop's thread waits for a turn before it goes on. A small transform is over
# by then, and waking the loop through its selector takes longer than that.
LINGER: Final = 0.0005
# After a wait in vain the next 2, 4, 8, ... turns are not waited for.
_MOST_MISSES: Final = 10


class Turn(Generic[T]):
    """One call, on its way.

    Args:
        function: what to call.
        lock: guards the turns of one thread.

    Attributes:
        finished: whether the call is over.
    """

    __slots__ = ("_done", "_failure", "_function", "_future", "_lock", "_outcome", "finished")

    def __init__(self, function: Callable[[], T], lock: threading.Lock) -> None:
        self._function: Callable[[], T] | None = partial(copy_context().run, function)
        self._lock = lock
        self._done = threading.Lock()  # held until the call is over, unless there is a future
        self._done.acquire()
        self._future: Future[None] | None = None  # guarded by the lock, as the rest
        self._outcome: list[T] = []
        self._failure: BaseException | None = None
        self.finished = False

    def take(self) -> None:
        """Make the call, unless nobody waits for it any more; on the thread of the turns."""
        with self._lock:
            function, self._function = self._function, None
        if function is None:
            return
        try:
            self._outcome.append(function())
        except BaseException as error:
            self._failure = error
        del function
        with self._lock:
            self.finished = True
            future = self._future
        if future is None:
            self._done.release()
        elif future.set_running_or_notify_cancel():
            future.set_result(None)

    def linger(self, seconds: float) -> bool:
        """Wait on this thread; whether the call is over."""
        return self._done.acquire(timeout=seconds)

    def result(self) -> T:
        """What the call has returned, or raise what it has raised; once."""
        failure, self._failure = self._failure, None
        if failure is None:
            return self._outcome.pop()
        try:
            raise failure
        finally:
            del failure, self  # else the error's frames and the error hold each other

    async def wait(self) -> T:
        """Wait for the call. If the task is cancelled before it has begun, it is not made."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:  # trio
            waiting = anyio.to_thread.run_sync(
                self._done.acquire, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1)
            )
        else:
            with self._lock:
                if not self.finished:
                    self._future = Future()
            if self._future is None:
                return self.result()
            waiting = asyncio.wrap_future(self._future)  # type: ignore[assignment]
        try:
            await waiting
        except BaseException:
            with self._lock:
                self._function = None
            raise
        return self.result()


class Turns:
    """Threads that take turns at calling functions, in the order in which these came.

    Args:
        size: most calls at once; 0 for the caller's own thread. May be raised later.
        name: prefix of the threads' names.

    In the child of a fork the threads begin anew.

    Threads: `call` anywhere, `begin` on an event loop's.
    """

    def __init__(self, size: int, name: str) -> None:
        self.size = size
        self._name = name
        self._misses = 0
        self._skip = 0  # so many turns are not waited for
        self._start_over()

    def _start_over(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._queue: SimpleQueue[Turn[Any] | None] = SimpleQueue()
        self._threads = 0

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
        turn = self._submit(function)
        turn.linger(-1)
        return turn.result()

    def begin(self, function: Callable[[], T]) -> Turn[T]:
        """Have a function called when its turn has come; it may be over on return."""
        if not self.size:
            turn = Turn(function, self._lock)
            turn.take()
            return turn
        turn = self._submit(function)
        if self._skip:
            self._skip -= 1
        elif turn.linger(LINGER):
            self._misses = max(0, self._misses - 1)
        else:
            self._misses = min(self._misses + 2, _MOST_MISSES)
            self._skip = 1 << self._misses
        return turn

    def _submit(self, function: Callable[[], T]) -> Turn[T]:
        if self._process != os.getpid():
            self._start_over()
        turn = Turn(function, self._lock)
        self._queue.put(turn)
        if self._threads < self.size:
            self._add_thread()
        return turn

    def _add_thread(self) -> None:
        with self._lock:
            if self._threads >= self.size:
                return
            if not self._threads:
                weakref.finalize(self, self._queue.put, None).atexit = False
            self._threads += 1
            number = self._threads
        threading.Thread(
            target=take_turns,
            args=(self._queue, weakref.ref(self)),
            name=f"{self._name}-{number}",
            daemon=True,
        ).start()


def take_turns(queue: "SimpleQueue[Turn[Any] | None]", turns: "weakref.ref[Turns]") -> None:
    """The body of a thread: take each turn that comes, until there is nobody any more."""
    _here.turns = turns
    # What `asyncio.get_event_loop()` gives a transform, as it does on the thread of a loop.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        while (turn := queue.get()) is not None:
            turn.take()
            del turn
        queue.put(None)  # for the next of them
    finally:
        asyncio.set_event_loop(None)
        loop.close()


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
