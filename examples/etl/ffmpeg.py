# Three pipes, and whoever does not drain one of them waits for ever: a thread feeds stdin, this one
# reads stdout, and stderr goes to a file, which never fills up.
"""Audio and video through a pipe to ffmpeg and back. `etl_args` is the sample rate: `16000`."""

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any

from asgi_bridge.etl import ETLServer

BLOCK = 64 * 1024
DEFAULT_RATE = "16000"
LAST_WORDS = 500  # bytes of what ffmpeg said last


class FfmpegError(Exception):
    """It is not installed, or it failed; the message says which."""


class Feeder(threading.Thread):
    """Copies a reader into a pipe; `error` says what came between."""

    def __init__(self, reader: IO[bytes], pipe: IO[bytes]) -> None:
        super().__init__(name="feeder", daemon=True)
        self.error: Exception | None = None
        self._reader = reader
        self._pipe = pipe

    def run(self) -> None:
        """Copy, then close the pipe: that is the end of the input."""
        try:
            with suppress(BrokenPipeError), self._pipe:  # ffmpeg has had enough
                shutil.copyfileobj(self._reader, self._pipe, BLOCK)
        except Exception as error:
            self.error = error


class ToWav(ETLServer):
    """Streams in both directions at once, so that an object of any length passes."""

    # Each object has an ffmpeg of its own, which takes a CPU and 50 MB and more.
    concurrency = os.cpu_count() or 1
    program = "ffmpeg"

    def transform_stream(self, reader: IO[bytes], path: str, etl_args: str) -> Iterator[bytes]:
        """Yield the sound as WAV, mono.

        Raises:
            FfmpegError: as it says; and whatever reading the object raised.
        """
        program = shutil.which(self.program)
        if program is None:
            raise FfmpegError(f"{self.program} is not installed in this image")
        rate = etl_args if etl_args.isdecimal() else DEFAULT_RATE
        command = [program, "-v", "error", "-i", "pipe:0", "-ac", "1", "-ar", rate]
        yield from piped(reader, [*command, "-f", "wav", "pipe:1"])

    def get_mime_type(self) -> str:
        """What hpull's users are told."""
        return "audio/wav"


def piped(reader: IO[bytes], command: list[str]) -> Iterator[bytes]:
    """Yield what a program makes of a reader's bytes.

    Raises:
        FfmpegError: the program failed.
        Exception: whatever the reader raised; the program has been killed then.
    """
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said
        ) as process,
    ):
        assert process.stdin is not None, "it was asked for"
        assert process.stdout is not None, "it was asked for"
        feeder = Feeder(reader, process.stdin)
        feeder.start()
        try:
            while block := os.read(process.stdout.fileno(), BLOCK):
                yield block
            feeder.join()
            if feeder.error is not None:
                raise feeder.error
            if process.wait() != 0:
                raise FfmpegError(f"{command[0]} failed: {last_words(said)}")
        finally:
            process.kill()  # whoever closes this generator waits for nothing
            feeder.join()


def last_words(said: IO[bytes]) -> str:
    """The end of what a program said."""
    said.seek(0)
    return said.read()[-LAST_WORDS:].decode(errors="replace").strip()


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(name)
    return ToWav().app
