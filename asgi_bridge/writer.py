# What a handler's bytes become.
#
# Rule 1: the first byte handed over fixes the head. Whether it has left yet depends on timing, so
#         nothing may depend on that: status and headers are fixed, and a failure cuts the
#         connection, from the first byte on.
# Rule 2: an empty chunk is not a first byte (PEP 3333: the first *non-empty* one). A decompressor
#         yields many before it finds out that its input is broken. `send_head` sends it bare.
# Rule 3: what is handed over is kept as it was: a buffer that its owner may change is copied.
# Rule 4: a large chunk is cut here and not on the loop. The pieces then count one by one against
#         the channel's bound, and it is not the loop's thread that has to copy them.
# Rule 5: a declared content-length is a promise. A byte too many is refused before it is sent, and
#         a byte too few is a failure, never an end.
"""Response: the binary file that a handler writes to, or that is written for it."""

import io
from threading import get_ident
from typing import TYPE_CHECKING, Any

from .crossing.outlet import Outlet
from .errors import LengthMismatch, ResponseStarted, WrongThread
from .headers import Head, ResponseHeaders
from .limits import DEFAULT_MESSAGE_BYTES
from .protocol.pieces import cuts
from .trailers import Digest, Trailers

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class Response(io.BufferedIOBase):
    """A binary file object over the response body, sent as it is written.

    Attributes:
        headers: the response headers, see `ResponseHeaders`.
        digest: what counts the body's digest, None where nobody wants it. For the exchange.
        bodiless: whether the first byte has been handed over in vain. For `handler`; to be read
            only.
        message_bytes: larger chunks are cut, see `Limits.message_bytes`; to be read only.

    `write`, `flush` and `send_head` may raise, beside what is said there:

    Raises:
        ClientDisconnected: the client left.
        WriteTimeout: the client took nothing for `Limits.write_timeout` seconds.
        ExchangeOver: the exchange was cancelled, or is over.
        WrongThread: called on the event loop's own thread, which it would block for ever.
        ValueError: the response is closed.

    Threads: the handler's worker thread, or another, one at a time.
    """

    if TYPE_CHECKING:
        name: Any  # io.TextIOWrapper's stub asks for it; as with io.BytesIO, there is none

    digest: Digest | None = None
    bodiless = False
    _trailers: Trailers | None = None  # made when first asked for

    def __init__(
        self,
        outlet: Outlet[bytes],
        *,
        method: str,
        loop_thread_id: int,
        message_bytes: int = DEFAULT_MESSAGE_BYTES,
    ) -> None:
        self.headers = ResponseHeaders()
        self._status = 200
        self._head: Head | None = None  # set by the first byte
        self._outlet = outlet
        self._method = method
        self._loop_thread_id = loop_thread_id
        self.message_bytes = message_bytes
        self._written = 0
        self._closed = False

    @property
    def status(self) -> int:
        """The status code, 200 to begin with; to be set until the first byte is handed over.

        Raises:
            ResponseStarted: the first byte has been handed over.
            ValueError: not a final status, 200 to 599.
        """
        return self._status

    @status.setter
    def status(self, status: int) -> None:
        if self._head is not None:
            raise ResponseStarted("the status can be set until the first byte is handed over")
        if not 200 <= status <= 599:
            raise ValueError(f"a response's status is 200 to 599, not {status}")
        self._status = int(status)

    @property
    def trailers(self) -> Trailers:
        """Header fields that follow the body: `response.trailers["x-rows"] = "3"`.

        They are sent where the server offers trailers and the client has asked for them, with
        `te: trailers`; elsewhere they are dropped, since there is no place for them. To be touched
        before the first byte, with which they are announced, and set until the handler is done.

        Raises:
            ResponseStarted: the first byte has been handed over, and there were none before it.
        """
        if self._trailers is None:
            if self._head is not None:
                raise ResponseStarted("trailers are announced with the first byte")
            self._trailers = Trailers()
        return self._trailers

    @property
    def has_trailers(self) -> bool:
        """Whether `trailers` was touched. For the exchange, not for handlers."""
        return self._trailers is not None

    @property
    def started(self) -> bool:
        """Whether the first byte has been handed over."""
        return self._head is not None

    def write(self, chunk: "ReadableBuffer", /) -> int:
        """Send a chunk, waiting while the client is behind; return its size in bytes.

        Args:
            chunk: any bytes-like object; copied unless it is `bytes`.

        Raises:
            LengthMismatch: it passes the declared content-length; none of it is sent.
            TypeError: not a bytes-like object.
        """
        self._check()
        data = chunk if type(chunk) is bytes else memoryview(chunk).tobytes()
        size = len(data)
        if not size:
            return 0
        total = self._written + size
        head = self._head or Head.of(self._status, self.headers, self._method)
        if head.declared is not None and total > head.declared and not head.bodiless:
            raise LengthMismatch(total, head.declared)  # the head may still be open then
        if self._head is None:
            self._fix(head)
        if not head.bodiless:
            if self.digest is not None:
                self.digest.update(data)
            if size <= self.message_bytes:
                self._outlet.put(data, size)
            else:
                for piece in cuts(data, self.message_bytes):
                    self._outlet.put(piece, len(piece))
        self._written = total
        return size

    def write_whole(self, body: "bytes | bytearray | memoryview", /) -> None:
        """Write a body that is all there is of it. For `handler`, not for handlers.

        Its length is declared, unless the handler has declared one; and if it fits into one
        message it goes to the loop together with the end, in one crossing.

        Raises:
            LengthMismatch: it is not as long as declared; nothing has been handed over.
        """
        size = len(body) if type(body) is bytes else memoryview(body).nbytes
        if not size or self._head is not None or self._status in (204, 304):
            self.write(body)
            return
        declared = self.headers.set_length(size)
        if self._method == "HEAD":
            return  # its length was all that was wanted of it
        if declared != size:
            raise LengthMismatch(size, declared)
        if size > self.message_bytes:
            self.write(body)
            return
        data = bytes(body)  # a view may not be contiguous, and only this takes such a one
        self.fix_head()
        if self.digest is not None:
            self.digest.update(data)
        self._outlet.keep(data)
        self._written = size

    def flush(self) -> None:
        """Do nothing: what was written leaves as soon as the client takes it.

        It does not send the bare head, since a text or zip file that is closed on the way out of
        a failure flushes too, and would make it too late for an honest status. See `send_head`.
        """
        self._check()

    def send_head(self) -> None:
        """Send status and headers now, before the first byte; once there is one, do nothing."""
        self._check()
        if self._head is None:
            self.fix_head()
            self._outlet.put(b"", 0)

    @property
    def head(self) -> Head:
        """Status and headers, once they are fixed. For the exchange, not for handlers."""
        assert self._head is not None, "write, send_head and finish fix the head before any output"
        return self._head

    def fix_head(self) -> Head:
        """Fix status and headers as they are now. For the exchange, not for handlers."""
        return self._fix(Head.of(self._status, self.headers, self._method))

    def _fix(self, head: Head) -> Head:
        self.headers.freeze()
        self._head = head
        self.bodiless = head.bodiless
        return head

    def finish(self) -> Head:
        """The handler is done: fix the head, and hold the body to its declared length.

        Raises:
            LengthMismatch: the body is shorter than declared.
        """
        head = self._head or self.fix_head()
        if head.declared is not None and not head.bodiless and self._written < head.declared:
            raise LengthMismatch(self._written, head.declared)
        return head

    def tell(self) -> int:
        """How many bytes have been written."""
        return self._written

    def writable(self) -> bool:
        return True

    @property
    def closed(self) -> bool:
        """Whether no more writes are allowed."""
        return self._closed

    def close(self) -> None:
        """Allow no more writes. The response ends when the handler returns, not here."""
        self._closed = True

    def __del__(self) -> None:
        """Nothing to release. IOBase's own would call `close`, for a microsecond a request."""

    def __repr__(self) -> str:
        return f"<Response {self._status} {self._written} bytes written>"

    def _check(self) -> None:
        if get_ident() == self._loop_thread_id:
            raise WrongThread("writing blocks; call it from a worker thread, not on the event loop")
        if self._closed:
            raise ValueError("I/O operation on closed file.")
