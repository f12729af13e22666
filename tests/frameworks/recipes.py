"""What the applications of the table are to somebody who reads about them."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

from .apps import WHOLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One way of streaming a request's body into its response.

    Attributes:
        framework: its name.
        how: what stands in the application's code.
    """

    framework: str
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Framework:
    """What stands for a framework in the table of all servers.

    Attributes:
        name: its own.
        package: what it is installed from, None for none.
        own: the application that is written as its documentation shows, by its path.
        advised: the one that our recipe shows.
    """

    name: str
    package: str | None
    own: str
    advised: str

    @property
    def title(self) -> str:
        """Its name, and the version that is installed."""
        return f"{self.name} {version(self.package)}" if self.package else self.name


FRAMEWORKS: Final = (
    Framework(name="bare ASGI", package=None, own="bare-single", advised="bare-single"),
    Framework(name="ASGI 2", package=None, own="bare-asgi2", advised="bare-asgi2"),
    Framework(
        name="Starlette",
        package="starlette",
        own="starlette-stream",
        advised="starlette-stream",
    ),
    Framework(name="FastAPI", package="fastapi", own="fastapi-stream", advised="fastapi-stream"),
    Framework(
        name="Litestar",
        package="litestar",
        own="litestar/stream",
        advised="litestar/open-body-async",
    ),
    Framework(name="Quart", package="quart", own="quart/body", advised="quart/open-body"),
    Framework(name="Django", package="django", own="django/request", advised="django/open-body"),
    Framework(
        name="BlackSheep",
        package="blacksheep",
        own="blacksheep/stream",
        advised="blacksheep/open-body",
    ),
    Framework(name="Falcon", package="falcon", own="falcon/stream", advised="falcon/open-body"),
)

RECIPES: Final[Mapping[str, Recipe]] = {
    name: Recipe(framework=framework, how=how)
    for framework, recipes in {
        "bare ASGI": {
            "bare-single": "`await receive()`, `await send()`, one after the other",
            "bare-two-tasks": "two tasks call `receive`",
            "bare-cancelled": "a pending `receive` is cancelled, and called again",
            "bare-twice": "`BridgeMiddleware` twice",
            "bare-twice-cancelled": "`BridgeMiddleware` twice, a `receive` is cancelled inside",
            "bare-around-handler": "`BridgeMiddleware` around a `handler`",
        },
        "ASGI 2": {"bare-asgi2": "a double callable in `guarantee_single_callable`"},
        "Starlette": {
            "starlette-stream": "`StreamingResponse(request.stream())`",
            "starlette-async-generator": "an async generator over `request.stream()`",
            "starlette-blocking-generator": "a `def` endpoint, a generator over `open_body`",
            "starlette-stream-base": "`request.stream()`, behind `BaseHTTPMiddleware`",
            "starlette-blocking-base": "a generator over `open_body`, behind `BaseHTTPMiddleware`",
            "starlette-stream-gzip": "`request.stream()`, behind `GZipMiddleware`",
            "starlette-blocking-gzip": "a generator over `open_body`, behind `GZipMiddleware`",
            "starlette-base-outside": "`request.stream()`, `BaseHTTPMiddleware` around the bridge",
            "starlette-blocking-base-outside": "a generator over `open_body`, likewise",
            "starlette-gzip-outside": "`request.stream()`, `GZipMiddleware` around the bridge",
            "starlette-base-between": "`open_body`, `BaseHTTPMiddleware` between two bridges",
            "starlette-polling": "`request.is_disconnected()` between reads",
            "starlette-background": "`request.stream()`, and a background task",
            "starlette-route": "`Route` of a `handler`",
            "starlette-mount": "`Mount` of a `handler`",
            "starlette-wrapped": "`BridgeMiddleware(app)` outside of everything",
            "starlette-inside": "`BridgeMiddleware(app)`, and `add_middleware` inside of it",
        },
        "FastAPI": {
            "fastapi-stream": "`StreamingResponse(request.stream())`",
            "fastapi-injected": "`Depends` gives the reader to a `def` endpoint",
            "fastapi-yielded": "`Depends` with a `yield` gives it to an `async def` one",
        },
        "Litestar": {
            "litestar/stream": "`Stream(request.stream())`",
            "litestar/open-body": "`Stream` of `open_body`, in a thread",
            "litestar/open-body-async": "`Stream` of `iterate_in_worker` over `open_body`",
            "litestar-inside/open-body": "the same, `BridgeMiddleware` among its middleware",
        },
        "Quart": {
            "quart/body": "a generator over `request.body`",
            "quart/open-body": "`iterate_in_worker` over `open_body`",
            "quart/open-body-sync": "a `def` view over `open_body`",
        },
        "Django": {
            "django/request": "`StreamingHttpResponse` over `request.read`",
            "django/open-body": "an `async def` view, `iterate_in_worker` over `open_body`",
            "django/open-body-sync": "the same from a `def` view",
            "django-mounted/below/open-body": "the same, mounted in Starlette",
        },
        "BlackSheep": {
            "blacksheep/stream": "`StreamedContent` over `request.stream()`",
            "blacksheep/open-body": "`StreamedContent`, `iterate_in_worker` over `open_body`",
        },
        "Falcon": {
            "falcon/stream": "`resp.stream` over `req.stream`",
            "falcon/open-body": "`resp.stream = iterate_in_worker(...)` over `open_body`",
        },
    }.items()
    for name, how in recipes.items()
}

# What its own framework takes bytes from, whatever is around it.
BEYOND_US: Final[Mapping[str, str]] = {
    "litestar/stream": "`Stream` listens for the disconnect with the route's own `receive`",
}

# What its own framework takes the whole request in for, so that lock-step is a wait for ever.
TAKEN_WHOLE: Final[Mapping[str, str]] = dict.fromkeys(
    WHOLE, "Django takes in the whole request before it calls a view"
)
