"""A real file through a blocking function on a real server, in full duplex, with little memory.

    python -m examples.demo

It makes a file out of the interpreter's own library sources, starts Hypercorn with `upper.py` on
a free port, sends the file while it reads the answer, compares each byte as it comes, and says
how fast that was and how much memory the server took. `make demo` sets up what it needs.
"""

import argparse
import http.client
import itertools
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

EXAMPLES: Final = Path(__file__).parent
TARGET: Final = "examples/upper.py:app"
HOST: Final = "127.0.0.1"
MB: Final = 1_000_000
BLOCK: Final = 256 * 1024
# Seconds for the server to come up, for any one read or write, and for the server to end.
START_TIMEOUT: Final = 30.0
STALL_TIMEOUT: Final = 20.0
STOP_TIMEOUT: Final = 10.0
DYING_TIMEOUT: Final = 1.0  # its connections are closed a moment before it is gone
POLL: Final = 0.02
SERVING: Final = re.compile(r"serving \S+ on http://\S+:(\d+) ")
INTERRUPTED: Final = 130  # what a shell calls the end by Ctrl-C


class DemoError(Exception):
    """Why the demo failed, in one line."""


FAILURES: Final = (DemoError, OSError, http.client.HTTPException)


@dataclass
class Server:
    """A server process, and the port that it said it listens at."""

    process: subprocess.Popen[bytes]
    port: int

    def memory(self, field: str) -> float | None:
        """A figure of the process in MB: VmRSS, now, or VmHWM, its peak; None off Linux."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return None
        found = re.search(rf"^{field}:\s+(\d+) kB$", status, re.MULTILINE)
        return int(found[1]) * 1024 / MB if found else None


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; return 0 if every byte came back right."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.demo", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--megabytes", type=int, default=300, metavar="N", help="size of the file (default: 300)"
    )
    megabytes = parser.parse_args(arguments).megabytes
    if megabytes < 1:
        parser.error("--megabytes must be at least 1")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # cleans up like Ctrl-C
    try:
        run(megabytes * MB)
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    except FAILURES as error:
        complain(f"FAILED: {describe(error)}")
        return 1
    return 0


def run(size: int) -> None:
    """Make the file, stream it, and say what came of it.

    Raises:
        DemoError: the server did not start, or a byte was wrong or missing.
    """
    with tempfile.TemporaryDirectory(prefix="asgi-bridge-demo-") as directory:
        file = Path(directory) / "sources.txt"
        say("file", f"{size // MB} MB of Python's library sources, repeated")
        make_file(file, size)
        with serving(Path(directory)) as server:
            say("server", f"Hypercorn on port {server.port}, {TARGET}, a blocking generator")
            with connected(server) as first:
                first.request("PUT", "/", b"warm up")
                if first.getresponse().read() != b"WARM UP":
                    raise DemoError("the server does not answer as it should")
            idle = server.memory("VmRSS")
            began = time.perf_counter()
            sent_at_first_answer = stream(server, file, size)
            seconds = time.perf_counter() - began
            peak = server.memory("VmHWM")
    say("speed", f"{size / MB / seconds:.0f} MB/s each way at once, {seconds:.1f} s in all")
    say("duplex", f"the answer began when {sent_at_first_answer / MB:.1f} MB had been sent")
    if idle is None or peak is None:
        say("memory", "n/a (only known on Linux)")
    else:
        say("memory", f"server: {idle:.0f} MB idle, {peak:.0f} MB at its peak")
    say("result", f"all {size:,} bytes are right")


def say(subject: str, text: str) -> None:
    print(f"{subject:8}{text}", flush=True)


def describe(error: Exception) -> str:
    return str(error) or type(error).__name__


def complain(text: str) -> None:
    below_the_bar = "\n" if sys.stdout.isatty() else ""
    print(f"{below_the_bar}demo: {text}", file=sys.stderr)


def make_file(file: Path, size: int) -> None:
    """Write so many bytes of real text.

    Raises:
        DemoError: this interpreter has no library sources on disk.
    """
    sources = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    if not sources:
        raise DemoError("this Python has no library sources to make a file of")
    with file.open("wb") as out:
        for source in itertools.cycle(sources):
            text = source.read_bytes()
            out.write(text[: size - out.tell()])
            if out.tell() == size:
                return


@contextmanager
def serving(directory: Path) -> Iterator[Server]:
    """Run the server in a process of its own, and end it.

    Raises:
        DemoError: it did not start; or the block failed, and the server had something to say.
    """
    log = directory / "server.log"
    command = [sys.executable, "-m", "asgi_bridge", "serve", TARGET, "--bind", f"{HOST}:0"]
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            command, cwd=EXAMPLES.parent, stdin=subprocess.DEVNULL, stderr=stderr
        )
    try:
        yield Server(process, wait_for_port(process, log))
    except FAILURES as error:
        if words := last_words(process, log):
            raise DemoError(f"{describe(error)}; the server's last words: {words}") from error
        raise
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for_port(process: subprocess.Popen[bytes], log: Path) -> int:
    """The port in the line that the server prints once it listens."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        if found := SERVING.search(log.read_text()):
            return int(found[1])
        if ended:
            raise DemoError("the server did not start")
        time.sleep(POLL)
    raise DemoError(f"the server did not start within {START_TIMEOUT:.0f} s")


def last_words(process: subprocess.Popen[bytes], log: Path) -> str | None:
    """The last line that the server printed beside its address, None where there is none."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(DYING_TIMEOUT)
    lines = [line for line in log.read_text().splitlines() if not SERVING.search(line)]
    return lines[-1].strip() if lines else None


@contextmanager
def connected(server: Server) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(HOST, server.port, timeout=STALL_TIMEOUT)
    try:
        yield connection
    finally:
        connection.close()


def stream(server: Server, file: Path, size: int) -> int:
    """Send the file in one thread while this one reads the answer and compares it.

    Returns:
        How many bytes had been sent when the answer began.

    Raises:
        DemoError: a byte is wrong, missing or too many.
    """
    with socket.create_connection((HOST, server.port), timeout=STALL_TIMEOUT) as connection:
        upload = Upload(connection, file, size)
        upload.start()
        try:
            response = http.client.HTTPResponse(connection, method="PUT")
            response.begin()
            if response.status != http.HTTPStatus.OK:
                raise DemoError(f"the server answered {response.status} {response.reason}")
            sent_at_first_answer = upload.sent
            compare(response, file, Progress(size))
        finally:
            shut_down(connection)  # an upload that is still running ends with it
            upload.join()
    if upload.error is not None:
        raise DemoError(f"the upload failed: {upload.error}")
    return sent_at_first_answer


class Upload(threading.Thread):
    """Sends a request with the file as its body.

    Attributes:
        sent: bytes of the body that have been sent; this thread writes it, any reads it.
        error: what went wrong, None while nothing has.
    """

    def __init__(self, connection: socket.socket, file: Path, size: int) -> None:
        super().__init__(name="upload", daemon=True)
        self.sent = 0
        self.error: OSError | None = None
        self._connection = connection
        self._file = file
        self._size = size

    def run(self) -> None:
        head = f"PUT / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {self._size}\r\n\r\n"
        try:
            self._connection.sendall(head.encode())
            with self._file.open("rb") as source:
                while block := source.read(BLOCK):
                    self._connection.sendall(block)
                    self.sent += len(block)
        except OSError as error:
            self.error = error


class Readable(Protocol):
    """What `compare` needs of a response."""

    def read(self, size: int, /) -> bytes: ...


def compare(response: Readable, file: Path, progress: "Progress") -> None:
    """Read the answer and hold it against the file in upper case, block by block.

    Raises:
        DemoError: they differ, and where.
    """
    position = 0
    with file.open("rb") as source:
        try:
            while answer := response.read(BLOCK):
                expected = source.read(len(answer)).upper()
                if answer != expected:
                    raise DemoError(f"byte {position + difference(answer, expected)} is wrong")
                position += len(answer)
                progress.show(position)
        except http.client.IncompleteRead as error:
            position += len(error.partial)
            raise DemoError(f"the answer was cut after {position} bytes") from error
        if source.read(1):
            raise DemoError(f"the answer ended too early, after {position} bytes")


def difference(one: bytes, other: bytes) -> int:
    """Where two unequal byte strings begin to differ."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def shut_down(connection: socket.socket) -> None:
    with suppress(OSError):  # the server has closed it
        connection.shutdown(socket.SHUT_RDWR)


class Progress:
    """A progress bar on a terminal; elsewhere a line for every quarter.

    Args:
        size: what is the whole, in bytes.
    """

    WIDTH: Final = 40
    REDRAW: Final = 0.1  # seconds

    def __init__(self, size: int) -> None:
        self._size = size
        self._terminal = sys.stdout.isatty()
        self._shown = 0  # quarters, or redraws since the start
        self._began = time.perf_counter()

    def show(self, done: int) -> None:
        """Say how many bytes are done, if it is time to say so again."""
        elapsed = time.perf_counter() - self._began
        step = int(elapsed / self.REDRAW) if self._terminal else 4 * done // self._size
        if step == self._shown and done < self._size:
            return
        self._shown = step
        text = f"{done / MB:.0f} of {self._size / MB:.0f} MB"
        if not self._terminal:
            say("", f"{text} streamed and compared")
            return
        bar = "#" * (self.WIDTH * done // self._size)
        end = "\n" if done == self._size else ""
        print(f"\r{'':8}[{bar:{self.WIDTH}}] {text} ", end=end, flush=True)


if __name__ == "__main__":
    sys.exit(main())
