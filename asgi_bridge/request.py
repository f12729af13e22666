"""Request: what a handler is called with, beside the response."""

from urllib.parse import parse_qsl

from .headers import RequestHeaders
from .reader import BodyReader
from .types import Scope


class Request:
    """One HTTP request.

    Attributes:
        scope: the ASGI scope, a copy of the server's.
        body: the request body, a blocking binary file; set before the handler is called.

    Threads: the handler's worker thread.
    """

    __slots__ = ("_headers", "body", "scope")

    body: BodyReader

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self._headers: RequestHeaders | None = None  # made when first asked for

    @property
    def method(self) -> str:
        """The method, in capitals."""
        method: str = self.scope["method"]
        return method

    @property
    def path(self) -> str:
        """The path, percent-decoded, with what the application is mounted under."""
        path: str = self.scope["path"]
        return path

    @property
    def query_string(self) -> str:
        """The query as it was sent, without the question mark."""
        raw: bytes = self.scope.get("query_string", b"")
        return raw.decode("latin-1")

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters, decoded; of a repeated one the last value."""
        return dict(self.query_items)

    @property
    def query_items(self) -> list[tuple[str, str]]:
        """The query's parameters, decoded, in the order they were sent, repeated ones too."""
        return parse_qsl(self.query_string, keep_blank_values=True)

    @property
    def headers(self) -> RequestHeaders:
        """The headers, by name and without regard to case."""
        if self._headers is None:
            self._headers = RequestHeaders(self.scope["headers"])
        return self._headers

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path}>"
