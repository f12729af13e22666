"""Handlers that do what no handler should, each on a path of its own."""

import os
import threading
import time
from collections.abc import Iterator
from typing import Final

from asgi_bridge import BodyReader, Request, Response, WorkerPool, handler
from asgi_bridge.types import ASGIApp, Receive, Scope, Send

from . import apps
from .apps import LIMITS

POOL: Final = WorkerPool(size=12, name="hard")
_kept: list[BodyReader] = []


@handler(limits=LIMITS, pool=POOL)
def spin(request: Request, response: Response) -> str:
    """Burn CPU in pure Python for as many milliseconds as the query says."""
    end = time.monotonic() + int(request.scope["query_string"]) / 1000
    rounds = 0
    while time.monotonic() < end:
        rounds += sum(each & 1 for each in range(1000))
    return "spun"


@handler(limits=LIMITS, pool=POOL)
def block(request: Request, response: Response) -> str:
    """Neither read nor write for as many milliseconds as the query says."""
    time.sleep(int(request.scope["query_string"]) / 1000)
    return "woke"


def _raiser(error: type[BaseException], *, after: bytes) -> ASGIApp:
    @handler(limits=LIMITS, pool=POOL)
    def raises(request: Request, response: Response) -> None:
        if after:
            response.write(after)
            time.sleep(0.05)  # let the first byte leave
        raise error

    return raises


@handler(limits=LIMITS, pool=POOL)
def closing(request: Request, response: Response) -> Iterator[bytes]:
    """Close the reader in the middle of the body, and answer."""
    yield request.body.read(3)
    request.body.close()
    try:
        request.body.read(1)
    except ValueError:
        yield b" closed"


@handler(limits=LIMITS, pool=POOL)
def keeping(request: Request, response: Response) -> bytes:
    """Keep the reader for later."""
    _kept.append(request.body)
    return request.body.read(3)


@handler(limits=LIMITS, pool=POOL)
def kept(request: Request, response: Response) -> str:
    """What a reader that was kept says after its exchange."""
    try:
        return f"{len(_kept.pop().read())} bytes"
    except Exception as error:
        return type(error).__name__


@handler(limits=LIMITS, pool=POOL)
def sharing(request: Request, response: Response) -> str:
    """Read from four threads, one call at a time."""
    lock, counts = threading.Lock(), [0] * 4

    def read(number: int) -> None:
        while True:
            with lock:
                chunk = request.body.read(1000)
            if not chunk:
                return
            counts[number] += len(chunk)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return str(sum(counts))


@handler(limits=LIMITS, pool=POOL)
def forking(request: Request, response: Response) -> str:
    """Fork; the child ends at once, as a child of a process with threads should."""
    child = os.fork()
    if child == 0:
        os._exit(7)
    return f"child ended with {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}"


@handler(limits=LIMITS, pool=POOL)
def forking_badly(request: Request, response: Response) -> str:
    """Fork, and let the child come back as if it were the handler."""
    child = os.fork()
    if child == 0:
        return "the child's answer"
    for _ in range(50):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return f"child ended with {os.waitstatus_to_exitcode(status)}"
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return "child stayed"


apps.APPS.update(
    {
        "spin": spin,
        "block": block,
        "closing": closing,
        "keeping": keeping,
        "kept": kept,
        "sharing": sharing,
        "forking": forking,
        "forking_badly": forking_badly,
        **{
            f"{error.__name__}{number}": _raiser(error, after=b"x" * number)
            for error in (SystemExit, KeyboardInterrupt, MemoryError)
            for number in (0, 1)
        },
    }
)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """All of the other applications, and these."""
    await apps.app(scope, receive, send)
