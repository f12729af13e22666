"""What the transforms of these tests do, told by etl_args: `do:action:argument`."""

import asyncio
import io
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

BLOCK: Final = 64 * 1024
MIB: Final = 1024 * 1024
FAILURE: Final = "no good"


class Teapot(Exception):
    """An exception with a status, as web frameworks have them."""

    status_code = 418
    detail = "short and stout"


def note(event: str) -> None:
    """Append a line to the file that the test reads."""
    with Path(os.environ["ETL_EVENTS"]).open("a") as file:
        file.write(event + "\n")


def on_loop() -> bool:
    """Whether this thread runs an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def fail(_: BinaryIO, argument: str) -> Iterator[bytes]:
    yield from ()  # makes it a generator: it fails once it is asked for something
    raise ValueError(FAILURE)


def fail_late(reader: BinaryIO, argument: str) -> Iterator[bytes]:
    """Fail after so many bytes of output."""
    yield from size(reader, argument)
    raise ValueError(FAILURE)


def size(reader: BinaryIO, argument: str) -> Iterator[bytes]:
    """So many bytes of output, whatever comes in."""
    reader.read()
    left = int(argument)
    while left > 0:
        yield b"x" * min(left, BLOCK)
        left -= BLOCK


def teapot(_: BinaryIO, argument: str) -> Iterator[bytes]:
    yield from ()  # as above
    raise Teapot


def missing(_: BinaryIO, argument: str) -> Iterator[bytes]:
    """What a transform meets whose model file was forgotten."""
    with Path("/no/such/model.bin").open("rb") as file:
        yield file.read()


def empty(reader: BinaryIO, argument: str) -> Iterator[bytes]:
    reader.read()
    yield from ()


def ignore(_: BinaryIO, argument: str) -> Iterator[bytes]:
    """An answer that does not depend on the object."""
    yield b"ignored"


def sleep(reader: BinaryIO, argument: str) -> Iterator[bytes]:
    note("sleeping")
    content = reader.read()
    time.sleep(float(argument))
    yield content.upper()


def endless(_: BinaryIO, argument: str) -> Iterator[bytes]:
    note("endless")
    try:
        while True:
            yield b"x" * BLOCK
    finally:
        note("ended")


def count(reader: BinaryIO, argument: str) -> Iterator[bytes]:
    """Note every run, for those who count the attempts."""
    note("run")
    yield reader.read().upper()


def lines(reader: BinaryIO, argument: str) -> Iterator[bytes]:
    for line in reader:
        yield line[::-1]


def buffered_reader(reader: Any, argument: str) -> Iterator[bytes]:
    with io.BufferedReader(reader) as file:
        yield file.readline() + file.read()


def readinto(reader: Any, argument: str) -> Iterator[bytes]:
    block = bytearray(7)
    with reader:
        while taken := reader.readinto(block):
            yield bytes(block[:taken])


def read1(reader: Any, argument: str) -> Iterator[bytes]:
    while chunk := reader.read1(5):
        yield chunk


def full_reads(reader: BinaryIO, argument: str) -> Iterator[bytes]:
    """The lengths that read() returned; only the last may be short."""
    lengths = []
    while chunk := reader.read(int(argument)):
        lengths.append(len(chunk))
    yield json.dumps(lengths).encode()


def upper(reader: BinaryIO, argument: str) -> Iterator[bytes]:
    while chunk := reader.read(BLOCK):
        yield chunk.upper()


ACTIONS: Final[Mapping[str, Callable[[BinaryIO, str], Iterator[bytes]]]] = {
    each.__name__.replace("_", "-"): each
    for each in (
        buffered_reader,
        count,
        empty,
        endless,
        fail,
        fail_late,
        full_reads,
        ignore,
        lines,
        missing,
        read1,
        readinto,
        size,
        sleep,
        teapot,
        upper,
    )
}


def wrap(kind: str) -> Callable[[bytes], Any]:
    """What makes another bytes-like type of an answer."""
    return {"bytearray": bytearray, "memoryview": memoryview}.get(kind, bytes)


def parsed(etl_args: str) -> tuple[str, str]:
    """`do:action:argument` in its parts; all else is for `upper`."""
    if not etl_args.startswith("do:"):
        return "upper", ""
    _, action, *argument = etl_args.split(":", 2)
    return action, "".join(argument)


def report(path: str, etl_args: str, source: object) -> bytes:
    """What a transform was called with, and where."""
    facts = {
        "path": path,
        "args": etl_args,
        "source": source if isinstance(source, str) else type(source).__name__,
        "on_loop": on_loop(),
    }
    return json.dumps(facts).encode()
