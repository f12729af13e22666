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
# Rule 4: the loop hands over the turns of one round together, and waits for a small moment on a
#         lock until they are over. That costs less than being woken, by one's selector, for each.
# Rule 5: with no threads at all (`size` 0) a transform runs on the caller's thread: that of the
#         event loop, which waits meanwhile.
"""Turns: the threads on which a server object is made, and its buffered transforms run."""

import asyncio
import os
import sys
import threading
import weakref
from abc import ABCMeta
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import Any, Final, Generic, TypeVar

import anyio
import anyio.to_thread

T = TypeVar("T")
U = TypeVar("U")

_here: Final = threading.local()  # `turns`: a weak reference to those whose thread this is

# Seconds that an event loop's thread waits for a turn before it goes on. A small transform is over
# by then, and waking the loop through its selector takes longer than that.
LINGER: Final = 0.0005
# After a wait in vain the next 4, 16, 64, ... turns are not waited for.
_MOST_MISSES: Final = 10
# After a turn that was alone in its round of the loop, so many are waited for at once, without a
# look for others: a single caller is spared a round of the loop, and a crowd soon noticed.
ALONE: Final = 15


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
        self._done: threading.Lock | None = None  # released when it is over; guarded by the lock
        self._future: Future[None] | None = None  # likewise, for an event loop
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
            future, done = self._future, self._done
        if done is not None:
            done.release()
        if future is not None and future.set_running_or_notify_cancel():
            future.set_result(None)

    def result(self) -> T:
        """What the call has returned, or raise what it has raised; once."""
        failure, self._failure = self._failure, None
        if failure is None:
            return self._outcome.pop()
        try:
            raise failure
        finally:
            del failure, self  # else the error's frames and the error hold each other

    def block(self) -> T:
        """Wait for the call; blocking."""
        with self._lock:
            if not self.finished:
                self._done = threading.Lock()
                self._done.acquire()
        if self._done is not None:
            self._done.acquire()
        return self.result()

    async def wait(self) -> T:
        """Wait for the call. If the task is cancelled before it has begun, it is not made."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:  # trio
            limiter = anyio.CapacityLimiter(1)
            return await self.unless_cancelled(
                anyio.to_thread.run_sync(self.block, abandon_on_cancel=True, limiter=limiter)
            )
        with self._lock:
            if not self.finished:
                self._future = Future()
        if self._future is not None:
            future: asyncio.Future[None] = asyncio.wrap_future(self._future)
            await self.unless_cancelled(future)
        return self.result()

    async def unless_cancelled(self, waiting: Awaitable[U]) -> U:
        """Wait for something; if the task is cancelled meanwhile, the call is not made."""
        try:
            return await waiting
        except BaseException:
            with self._lock:
                self._function = None
            raise


class Batch:
    """Turns that one thread takes without a pause between them."""

    def __init__(self) -> None:
        self.turns: list[Turn[Any]] = []
        self.looks: list[asyncio.Future[None]] = []  # done once the loop has lingered
        self._done = threading.Lock()
        self._done.acquire()

    def take(self) -> None:
        """On the thread of the turns."""
        for turn in self.turns:
            turn.take()
        self._done.release()

    def linger(self) -> bool:
        """Wait for all of them on this thread, for a moment; whether they are over."""
        return self._done.acquire(timeout=LINGER)


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
        self._misses = 0
        self._skip = 0  # so many turns are not lingered for
        self._alone = 0  # so many turns more go without a look for others
        self._batch: Batch | None = None  # what comes in this round of the event loop
        self._start_over()

    def _start_over(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._queue: SimpleQueue[Turn[Any] | Batch | None] = SimpleQueue()
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
        turn = Turn(function, self._lock)
        self._submit(turn)
        return turn.block()

    async def run(self, function: Callable[[], T]) -> Turn[T]:
        """Have a function called when its turn has come; it may be over on return, see LINGER."""
        turn = Turn(function, self._lock)
        if not self.size:
            turn.take()
        elif self._skip or self.size > 1 or not has_asyncio():
            self._skip = max(0, self._skip - 1)
            self._submit(turn)
        elif self._alone:
            self._alone -= 1
            batch = Batch()
            batch.turns.append(turn)
            self._submit(batch)
            self._note(in_time=batch.linger())
        else:
            await self._with_others(turn)
        return turn

    async def _with_others(self, turn: Turn[Any]) -> None:
        """Linger for a turn and all others of this round of the event loop."""
        loop = asyncio.get_running_loop()
        batch = self._batch
        if batch is None:
            batch = self._batch = Batch()
            loop.call_soon(self._flush, batch)
        batch.turns.append(turn)
        look = loop.create_future()
        batch.looks.append(look)
        await turn.unless_cancelled(look)

    def _flush(self, batch: Batch) -> None:
        self._batch = None
        waited_for = zip(batch.turns, batch.looks, strict=True)
        batch.turns = [turn for turn, look in waited_for if not look.done()]
        self._submit(batch)
        self._note(in_time=batch.linger())
        if len(batch.turns) == 1:
            self._alone = ALONE
        for look in batch.looks:
            if not look.done():
                look.set_result(None)

    def _note(self, *, in_time: bool) -> None:
        if in_time:
            self._misses = max(0, self._misses - 1)
        else:
            self._misses = min(self._misses + 2, _MOST_MISSES)
            self._skip = 1 << self._misses

    def _submit(self, item: Turn[Any] | Batch) -> None:
        if self._process != os.getpid():
            self._start_over()
        self._queue.put(item)
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


def has_asyncio() -> bool:
    """Whether an event loop of asyncio's runs on this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def take_turns(queue: "SimpleQueue[Turn[Any] | Batch | None]", turns: "weakref.ref[Turns]") -> None:
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
