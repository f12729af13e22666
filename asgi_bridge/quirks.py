"""What single servers do that others do not, how they are known, and what would end each rule."""

from .types import Scope


def is_inside_framework(scope: Scope) -> bool:
    """Whether what called the bridge is a framework's stack of middleware, and not a server.

    A start that never comes is a failure there, even for a client that has left: Starlette's
    BaseHTTPMiddleware raises "No response returned", and exporters of metrics count no status. Seen
    on Starlette 1.10, FastAPI 0.165 and Litestar 2.24, which put themselves into the scope. A
    server needs none: some leak what they are sent then.
    """
    return "app" in scope


def passes_wrong_framing(scope: Scope) -> bool:
    """Whether the server passes on a response body that its client cannot tell the end of.

    A body longer than its content-length, or one that answers a HEAD: the client takes what is too
    much for its next response. A body that is shorter: the client waits for ever. Other servers
    refuse these by themselves, and then that is what the application is to see.

    Seen on granian 2.8 (over HTTP/1 both lengths, over HTTP/2 the HEAD), known by its offer of
    `pathsend`, which no other server makes; and on daphne 4.2 (all three), whose scopes have the
    peers' addresses as lists. Checks of `asgi-bridge doctor`: "more bytes than the content-length",
    "fewer bytes than the content-length", "HEAD of a streamed answer has none". Once these are ok
    without the bridge, too, this can go.
    """
    if "http.response.pathsend" in (scope.get("extensions") or ()):
        return True
    return isinstance(scope.get("client"), list) and "spec_version" not in scope.get("asgi", ())
