# The user's transform, and what calls it.
#
# Rule 1: a buffered transform is called in its turn (see turns.py), and `get_mime_type` right after
#         it, in the same turn: it may depend on the object.
# Rule 2: of a streaming one, output up to `flush_threshold` is held until the transform has ended.
#         AIStore's inline hpush turns a response that is cut after its status into a corrupt object
#         at its user, so what can be whole before it starts is.
# Rule 3: a failure before the first byte is a status and a detail. After it, it is raised as it
#         is, and the connection is cut.
"""Transforms: a user's code, called for one object."""

import logging
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import IO, Any, Final, NamedTuple

from asgi_bridge import ClientDisconnected, Request, Response

from .errors import Refused, file_missing, refused_for
from .fqn import FileAccess
from .outputs import Output, chunk_of, content_of, content_type
from .reports import report
from .turns import Turn, Turns

# Where an inner exchange's scope carries its job.
JOB: Final = "asgi_bridge.etl"


@dataclass(slots=True, eq=False)
class Job:
    """What one transform is called with.

    Attributes:
        path: the object's path.
        etl_args: the request's arguments.
        fqn: the local file to read, empty for the body.
        gone: whether the caller has left, as far as anybody has noticed.
    """

    path: str
    etl_args: str
    fqn: str
    gone: bool = False


class Made(NamedTuple):
    """What a buffered transform has made."""

    content: bytes | memoryview
    content_type: str


class Buffered:
    """A buffered transform.

    Args:
        transform: the user's.
        mime_type: called for each object.
        files: which local files may be read.
        direct_fqn: the transform gets the file's path.
        turns: where the transform runs.
        logger: where failures go.
    """

    def __init__(
        self,
        *,
        transform: Callable[[Any, str, str], Output],
        mime_type: Callable[[], str],
        files: FileAccess,
        direct_fqn: bool,
        turns: Turns,
        logger: logging.Logger,
    ) -> None:
        self._transform = transform
        self._mime_type = mime_type
        self._files = files
        self._direct_fqn = direct_fqn
        self._turns = turns
        self._logger = logger

    def read(self, job: Job) -> bytes | str:
        """The object in a job's file, or where to find it; blocking.

        Raises:
            Refused: there is none, or it is nobody's business.
        """
        if self._direct_fqn:
            self._files.check(job.fqn)
            return job.fqn  # there or not: that is the transform's to find out
        with open_file(self._files, job) as file:
            return file.read()

    async def begin(self, job: Job, source: list[bytes | str]) -> Turn[Made | Refused]:
        """Have an object transformed when its turn has come; that may be over on return.

        Args:
            source: the object; taken out, so that nothing holds it once it is used up.
        """
        return await self._turns.run(partial(self._make, job, source))

    async def make(self, job: Job, source: list[bytes | str]) -> Made:
        """Transform an object, when its turn has come.

        Raises:
            Refused: the transform failed; it has been logged.
        """
        turn = await self.begin(job, source)
        return made_of(turn.result() if turn.finished else await turn.wait())

    def _make(self, job: Job, source: list[bytes | str]) -> Made | Refused:
        try:
            output = self._transform(source.pop(), job.path, job.etl_args)
            return Made(content_of(output), content_type(self._mime_type()))
        except Exception as error:
            missing = isinstance(error, FileNotFoundError) and error.filename == job.fqn
            # Any other file is one of the transform's own, and no word on the object.
            refused = file_missing(job.path, job.fqn) if missing else refused_for(error)
            log_failure(self._logger, job, refused, error)
            return refused if isinstance(refused, Refused) else Refused(500, str(error))


def made_of(outcome: Made | Refused) -> Made:
    """What a turn has made.

    Raises:
        Refused: nothing; the log has it.
    """
    if isinstance(outcome, Refused):
        outcome.told = True
        raise outcome
    return outcome


class Streaming:
    """A streaming transform: what a handler calls for each object.

    Args:
        transform_stream: the user's.
        mime_type: called for each object, once there is an iterator.
        files: which local files may be read.
        flush_threshold: bytes of output that are held, see rule 2.
        logger: where failures go.
    """

    def __init__(
        self,
        *,
        transform_stream: Callable[[Any, str, str], Iterable[Any]],
        mime_type: Callable[[], str],
        files: FileAccess,
        flush_threshold: int,
        logger: logging.Logger,
    ) -> None:
        self._transform_stream = transform_stream
        self._mime_type = mime_type
        self._files = files
        self._flush_threshold = flush_threshold
        self._logger = logger

    def __call__(self, request: Request, response: Response) -> bytes | None:
        """Transform one object; on a worker thread."""
        job: Job = request.scope[JOB]
        try:
            return self._stream(job, request, response)
        except Exception as error:
            if response.started:
                raise
            refused = refused_for(error)
            log_failure(self._logger, job, refused, error)
            if refused is error:
                raise
        raise refused  # out here, without the failure: its frames hold the object

    def _stream(self, job: Job, request: Request, response: Response) -> bytes | None:
        with ExitStack() as stack:
            source: Any = request.body
            if job.fqn:
                source = stack.enter_context(open_file(self._files, job))
            output = self._transform_stream(source, job.path, job.etl_args)
            if isinstance(output, bytes | bytearray | memoryview | str):
                output = (output,)
            close = getattr(output, "close", None)
            if close is not None:
                stack.callback(close)
            response.headers["content-type"] = content_type(self._mime_type())
            return self._write(output, response, job)

    def _write(self, output: Iterable[Any], response: Response, job: Job) -> bytes | None:
        """Write what goes beyond the threshold; return what does not."""
        held: list[bytes] = []
        size = 0
        chunks = iter(output)
        for chunk in chunks:
            if job.gone:
                raise ClientDisconnected("the caller has left")
            held.append(chunk_of(chunk))
            size += len(held[-1])
            if size > self._flush_threshold:
                break
        else:
            return held[0] if len(held) == 1 else b"".join(held)
        for each in held:
            response.write(each)
        held.clear()
        for chunk in chunks:
            response.write(chunk_of(chunk))
        return None


def open_file(files: FileAccess, job: Job) -> IO[bytes]:
    """Open a job's file.

    Raises:
        Refused: there is none, or it is nobody's business.
    """
    try:
        return open(files.check(job.fqn), "rb")
    except FileNotFoundError:
        raise file_missing(job.path, job.fqn) from None


def log_failure(logger: logging.Logger, job: Job, refused: Exception, error: BaseException) -> None:
    """Log why an object was not made: its traceback, where the transform is to blame."""
    if not isinstance(refused, Refused):
        return  # the caller left
    if refused.status_code == 500:
        logger.error("the transform of %r failed: %s", job.path, error, exc_info=error)
    else:
        report(logger, job.path, refused.status_code, refused.reason)
