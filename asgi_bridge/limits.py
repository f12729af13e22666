"""Limits: every bound of an exchange in one frozen value, sizes in bytes and times in seconds."""

from dataclasses import dataclass, field, fields
from typing import Final, Literal

from .protocol.pace import Pace
from .protocol.watermarks import Watermarks

# What an asyncio transport holds before it makes its writer wait: a message of this size leaves no
# more of itself in a server than the transport would keep of any.
DEFAULT_MESSAGE_BYTES: Final = 64 * 1024

# Less than the 30 s that Kubernetes and gunicorn give a process before they kill it.
DEFAULT_SHUTDOWN_TIMEOUT: Final = 25.0


class HandlerDefault(float):
    """A limit that nobody asked for: it holds for blocking code, which has a thread to hold."""

    __slots__ = ()


def asked_for(limit: float | None) -> float | None:
    """A limit for an application, which holds no thread of ours; None unless somebody set it."""
    return None if isinstance(limit, HandlerDefault) else limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one exchange may hold and how long it may wait.

    Attributes:
        prefetch_bytes: a request that has sent this much, or `request.high`, or all it has, counts
            as ready for a worker thread; one that has sent less may only use half of the pool.
        request: watermarks of the channel from the server to the handler; what a reader has taken
            and not used up counts.
        response: watermarks of the channel from the handler to the server; likewise.
        message_bytes: the largest body message sent to the server. Smaller chunks are joined up
            to it, larger ones split.
        max_body_bytes: the longest request body accepted, None for any.
        duplex: "auto" takes the body of a client that writes before it reads into a spool on
            disk, once neither side has moved for `stall_timeout`; and behind a proxy on HTTP/1 it
            holds a response that streams while the request keeps coming. "full" does neither: for
            clients that are known to read while they write. "half" sends nothing of a response
            that streams until the client has sent all of its request.
        stall_timeout: see `duplex`.
        spool_max_bytes: most bytes of one request on disk, in the spool of `duplex` and in the
            temporary file of a spooled reader; each.
        spool_directory: where the spool of `duplex` is; None for the system's place for temporary
            files.
        read_timeout: longest wait for the next request bytes, None for no limit. The default holds
            for handlers and for readers from `open_body`, which hold a thread; an application has
            no limit unless one is set. So it is with `write_timeout` and `min_body_rate`.
        write_timeout: longest wait for the client to take response bytes, None for no limit.
        hold_timeout: how long the start of an application's response is held for its body, None
            for as long as it takes.
        total_timeout: longest time of the whole exchange, None for no limit.
        min_body_rate: least bytes a second at which a request body comes, counted over the time
            that its reader waits for it; None for no limit. An application that reads the body
            itself is not held to it once its response has begun.
        min_body_grace: seconds of such waiting that are not counted.
        drain_bytes: how much of an upload that nobody wants is still taken in before the last
            message of its response goes out.
        drain_timeout: how long that may take.
        abandon_timeout: how long an exchange that is over waits for its worker thread, which has
            been woken; after it the thread is left to itself, with a line in the log. Also how long
            the upload of an exchange that failed is still taken in, until the server has cut it.
        shutdown_timeout: how long an exchange may still take once the server has been told to end,
            where the server gives it no less. None for as long as the server waits: the bridge
            then listens for no signal.

    Raises:
        ValueError: a size or a time is negative or zero where that makes no sense, or `duplex` is
            no word that is known.
    """

    prefetch_bytes: int = 64 * 1024
    request: Watermarks = field(default_factory=Watermarks)
    response: Watermarks = field(default_factory=Watermarks)
    message_bytes: int = DEFAULT_MESSAGE_BYTES
    max_body_bytes: int | None = None
    duplex: Literal["auto", "full", "half"] = "auto"
    stall_timeout: float = 0.2
    spool_max_bytes: int = 1024 * 1024 * 1024
    spool_directory: str | None = None
    read_timeout: float | None = HandlerDefault(60.0)
    write_timeout: float | None = HandlerDefault(60.0)
    hold_timeout: float | None = None
    total_timeout: float | None = None
    min_body_rate: float | None = HandlerDefault(16.0)
    min_body_grace: float = 30.0
    drain_bytes: int = 16 * 1024 * 1024
    drain_timeout: float = 2.0
    abandon_timeout: float = 5.0
    shutdown_timeout: float | None = DEFAULT_SHUTDOWN_TIMEOUT

    def pace(self) -> Pace | None:
        """What holds one body to `min_body_rate`, None where there is no rate."""
        if self.min_body_rate is None:
            return None
        return Pace(self.min_body_rate, self.min_body_grace)

    def __post_init__(self) -> None:
        for size in ("prefetch_bytes", "message_bytes", "spool_max_bytes"):
            if getattr(self, size) < 1:
                raise ValueError(f"{size} must be at least 1, got {getattr(self, size)}")
        for time in ("stall_timeout", "write_timeout"):  # which are looked for again and again
            if getattr(self, time) == 0:
                raise ValueError(f"{time} must be more than 0")
        if self.duplex not in ("auto", "full", "half"):
            raise ValueError(f"duplex is 'auto', 'full' or 'half', not {self.duplex!r}")
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, int | float) and value < 0:
                raise ValueError(f"{each.name} must not be negative, got {value}")
