"""What a start says of the trailers to come, and the trailers."""

from ..trailers import takes_trailers
from ..types import Message, Scope
from ..writer import Response


def announce(start: Message, response: Response, scope: Scope, *, whole: bool) -> None:
    """Add to a start what it has to say of the body's digest, and of trailers.

    Args:
        start: the message, which is changed.
        response: whose it is.
        scope: the request's.
        whole: whether all of the body has been written.
    """
    if response.head.bodiless:
        return
    headers = start["headers"]
    if any(name == b"content-digest" for name, _ in headers):
        response.digest = None  # the handler knows better
    if whole and response.digest is not None:
        start["headers"] = [*headers, response.digest.field()]
        response.digest = None  # it is said
    if not takes_trailers(scope):
        response.digest = None  # there is no place for it
    elif response.digest is not None:
        start["headers"] = [*headers, (b"trailer", b"content-digest")]
        start["trailers"] = True
    elif response.has_trailers:
        start["trailers"] = True


def trailers_of(response: Response) -> Message:
    """The message that follows the body of a response whose handler is done."""
    headers = response.trailers.raw() if response.has_trailers else []
    if response.digest is not None:
        headers.append(response.digest.field())
    return {"type": "http.response.trailers", "headers": headers, "more_trailers": False}
