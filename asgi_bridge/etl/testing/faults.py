"""What may go wrong at a fake, to order. Values only; `behaviour.py` acts on them."""

import enum
from dataclasses import dataclass

Headers = tuple[tuple[str, str], ...]


class When(enum.Enum):
    """When a fake answers, seen from the body of the request."""

    BEFORE_BODY = "before the body is read"
    AFTER_BODY = "after the body has been read"


class Framing(enum.Enum):
    """How an answer says where it ends."""

    CONTENT_LENGTH = "content-length"
    CHUNKED = "chunked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Answer with this status, and store nothing.

    Attributes:
        status: of the answer.
        body: of the answer.
        headers: of the answer; its framing is added.
        when: BEFORE_BODY is what a full target does (507), or one that is given a wrong secret.
        linger: seconds that a connection with an unread body stays open after the answer, its
            body unread, as Go's server does it. Then it is closed, which resets it.
    """

    status: int
    body: bytes = b""
    headers: Headers = ()
    when: When = When.AFTER_BODY
    linger: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """Reset the connection (RST), without an answer.

    Attributes:
        after_bytes: of the request's body; None is after all of it.
    """

    after_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """Close the connection (FIN), without an answer.

    Attributes:
        after_bytes: of the request's body; None is after all of it.
    """

    after_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """Take in some of the body, then do nothing until the fake is closed.

    Attributes:
        after_bytes: of the request's body; None is after all of it.
        seconds: the longest this lasts; then the connection is reset.
    """

    after_bytes: int | None = None
    seconds: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncate:
    """Begin the answer that was due, and cut it.

    Attributes:
        after_bytes: of the answer's body, counted once its head is out.
        framing: what its head promises.
        reset: whether it is cut by a reset instead of a close.
    """

    after_bytes: int
    framing: Framing = Framing.CONTENT_LENGTH
    reset: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StallAnswer:
    """Begin the answer that was due, and stop in the middle until the fake is closed.

    Attributes:
        after_bytes: of the answer's body.
        seconds: the longest this lasts; then the connection is reset.
    """

    after_bytes: int
    seconds: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow:
    """Do what was due, answering in pieces with pauses.

    Attributes:
        piece_bytes: size of a piece of the answer's body.
        pause: seconds before each of them, and before the head.
    """

    piece_bytes: int = 64 * 1024
    pause: float = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """Read the body, write these bytes whatever they are, and close.

    Attributes:
        answer: what goes out, as it is; b"garbage" is a peer that does not speak HTTP.
    """

    answer: bytes


Fault = Status | Reset | Close | Stall | Truncate | StallAnswer | Slow | Raw
