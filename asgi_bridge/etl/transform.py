# What runs on a worker thread: the source is opened, the user's transform runs, its output goes to
# the response.
#
# Rule 1: output up to `flush_threshold` is held until the transform has ended. AIStore's inline
#         hpush turns a response that is cut after its status into a corrupt object at its user, so
#         what can be whole before it starts is.
# Rule 2: a failure before the first byte is a status and a detail. After it, it is raised as it
#         is, and the connection is cut.
"""Transformation: a user's transform as a blocking handler function."""

import io
import logging
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import IO, Any, Final, NamedTuple

from asgi_bridge import BodyReader, Request, Response

from .asgi import header_of
from .errors import Refused, file_missing, refused_for
from .fqn import FileAccess

# Where an inner exchange's scope carries its job.
JOB: Final = "asgi_bridge.etl"

# Bodies up to this size are read at once; larger ones through a buffer that grows in place, where
# joining their chunks would hold them twice.
_SMALL: Final = 1024 * 1024

Output = bytes | bytearray | memoryview | str | None


class Job(NamedTuple):
    """What one transform is called with.

    Attributes:
        path: the object's path.
        etl_args: the request's arguments.
        fqn: the local file to read, empty for the body.
    """

    path: str
    etl_args: str
    fqn: str


class Transformation:
    """What a handler calls for each object.

    Args:
        transform: the user's buffered transform, None for a streaming server.
        transform_stream: the user's streaming one.
        mime_type: called for each object.
        files: which local files may be read.
        direct_fqn: a buffered transform gets the file's path.
        flush_threshold: bytes of output that are held, see rule 1.
        logger: where failures of the transform go.
    """

    def __init__(
        self,
        *,
        transform: Callable[[Any, str, str], Output] | None,
        transform_stream: Callable[[Any, str, str], Iterable[Any]],
        mime_type: Callable[[], str],
        files: FileAccess,
        direct_fqn: bool,
        flush_threshold: int,
        logger: logging.Logger,
    ) -> None:
        self._transform = transform
        self._transform_stream = transform_stream
        self._mime_type = mime_type
        self._files = files
        self._direct_fqn = direct_fqn
        self._flush_threshold = flush_threshold
        self._logger = logger

    def __call__(self, request: Request, response: Response) -> Output:
        """Transform one object; on a worker thread."""
        job: Job = request.scope[JOB]
        try:
            response.headers["content-type"] = self._mime_type()
            if self._transform is not None:
                return self._whole(self._transform, job, request)
            return self._stream(job, request, response)
        except Exception as error:
            if response.started:
                raise
            refused = refused_for(error)
            if isinstance(refused, Refused) and refused.status_code == 500:
                self._logger.error("the transform of %r failed", job.path, exc_info=error)
            if refused is error:
                raise
        raise refused  # out here, without the failure: its frames hold the object

    # Buffered.

    def _whole(
        self, transform: Callable[[Any, str, str], Output], job: Job, request: Request
    ) -> Output:
        # In a list, and not in a variable, so that nothing holds the input once it is used up.
        source = [self._input(job, request)]
        try:
            output = transform(source.pop(), job.path, job.etl_args)
        except FileNotFoundError as error:
            if not job.fqn or error.filename != job.fqn:
                raise  # one of the transform's own, and no word on the object
            raise file_missing(job.path, job.fqn) from error
        if output is None:
            return b""
        if isinstance(output, str):
            return output.encode()
        return memoryview(output).cast("B") if isinstance(output, memoryview) else output

    def _input(self, job: Job, request: Request) -> bytes | str:
        if not job.fqn:
            return read_whole(request.body, header_of(request.scope, b"content-length"))
        if self._direct_fqn:
            self._files.check(job.fqn)
            return job.fqn  # there or not: that is the transform's to find out
        with self._open(job) as file:
            return file.read()

    # Streaming.

    def _stream(self, job: Job, request: Request, response: Response) -> bytes | None:
        with ExitStack() as stack:
            source: Any = stack.enter_context(self._open(job)) if job.fqn else request.body
            output = self._transform_stream(source, job.path, job.etl_args)
            if isinstance(output, bytes | bytearray | memoryview):
                output = (output,)
            close = getattr(output, "close", None)
            if close is not None:
                stack.callback(close)
            return self._write(output, response)

    def _write(self, output: Iterable[Any], response: Response) -> bytes | None:
        """Write what goes beyond the threshold; return what does not."""
        held: list[bytes] = []
        size = 0
        chunks = iter(output)
        for chunk in chunks:
            held.append(chunk if type(chunk) is bytes else memoryview(chunk).tobytes())
            size += len(held[-1])
            if size > self._flush_threshold:
                break
        else:
            return held[0] if len(held) == 1 else b"".join(held)
        for each in held:
            response.write(each)
        held.clear()
        for chunk in chunks:
            response.write(chunk)
        return None

    # Files.

    def _open(self, job: Job) -> IO[bytes]:
        try:
            return open(self._files.check(job.fqn), "rb")
        except FileNotFoundError:
            raise file_missing(job.path, job.fqn) from None


def read_whole(body: BodyReader, content_length: str) -> bytes:
    """Read a body to its end, holding it once."""
    if content_length.isdigit() and int(content_length) <= _SMALL:
        return body.read()
    buffer = io.BytesIO()
    for chunk in body.chunks():
        buffer.write(chunk)
    return buffer.getvalue()
