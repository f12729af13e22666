"""Which suites there are, of which versions, and what they need."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

# The one place where versions stand. A new one may have other tests: run `make suites`, see to the
# differences, then mend the list.
STARLETTE: Final = "1.10.0"
FASTAPI: Final = "0.165.0"
DJANGO: Final = "5.2.19"
LITESTAR: Final = "2.24.0"
QUART: Final = "0.21.0"
SSE_STARLETTE: Final = "3.4.5"  # the last whose archive in the package index holds all its tests
OPENTELEMETRY: Final = "0.66b1"
# Its tests were written for such: with the versions above 26 of them fail without the bridge.
STARLETTE_OF_OPENTELEMETRY: Final = "0.50.0"
FASTAPI_OF_OPENTELEMETRY: Final = "0.128.8"


@dataclass(frozen=True)
class Suite:
    """The tests of one package.

    Attributes:
        name: of the suite, and of its list of differences.
        source: what pip downloads: `name==version`, or a repository where the archive in the
            package index has no tests.
        requirements: what the tests need.
        groups: dependency groups in the source's pyproject.toml that they need, too.
        folder: where in the source pytest runs.
        arguments: what pytest is told.
        bridge: the plugin that puts the bridge in place.
    """

    name: str
    source: str
    requirements: tuple[str, ...]
    groups: tuple[str, ...] = ()
    folder: str = "."
    arguments: tuple[str, ...] = ()
    bridge: str = "wrapping"


PYTEST: Final = ("pytest", "pytest-xdist")
WHOLE_STARLETTE: Final = f"starlette[full]=={STARLETTE}"


def of_opentelemetry(framework: str, *requirements: str) -> Suite:
    """The tests of one of OpenTelemetry's packages."""
    package = f"opentelemetry-instrumentation-{framework}=={OPENTELEMETRY}"
    tools = f"opentelemetry-test-utils=={OPENTELEMETRY}"
    return Suite(
        f"opentelemetry-{framework}",
        package,
        (package, tools, *PYTEST, *requirements),
        # They wait 10 ms for what an application sends: nothing of ours is to run beside them.
        arguments=("tests", "--numprocesses", "0"),
    )


ALL: Final = (
    Suite(
        "starlette",
        f"starlette=={STARLETTE}",
        (WHOLE_STARLETTE, *PYTEST),
        groups=("dev",),
    ),
    Suite(
        "fastapi",
        f"fastapi=={FASTAPI}",
        (f"fastapi[all]=={FASTAPI}", WHOLE_STARLETTE),
        groups=("tests",),
    ),
    Suite(
        "quart",
        f"git+https://github.com/pallets/quart@{QUART}",
        (f"quart=={QUART}", *PYTEST),
        groups=("tests",),
    ),
    Suite(
        "litestar",
        f"git+https://github.com/litestar-org/litestar@v{LITESTAR}",
        # With a newer sqlalchemy its modules cannot be imported.
        (f"litestar[full]=={LITESTAR}", WHOLE_STARLETTE, "sqlalchemy<2.1"),
        groups=("dev", "test"),
        # Without the tests that need a service or a server, and without those that fail because of
        # what newer packages warn of.
        arguments=(
            *("tests/unit", "-k", "not redis and not valkey", "-o", "filterwarnings=ignore"),
            *("--ignore", "tests/unit/test_channels"),
            *("--ignore", "tests/unit/test_testing/test_sub_client"),
        ),
    ),
    Suite(
        "django",
        f"django=={DJANGO}",
        (f"django=={DJANGO}", *PYTEST, "jinja2"),
        folder="tests",
        arguments=(
            *("-p", "django_tests", "-o", "python_classes="),
            *("asgi", "async", "handlers", "logging_tests", "middleware_exceptions"),
            *("staticfiles_tests", "test_client", "test_client_regress"),
            # It runs where all of Django's tests do, and not among these alone.
            *("--ignore", "staticfiles_tests/test_liveserver.py"),
        ),
    ),
    Suite(
        "sse-starlette",
        f"sse-starlette=={SSE_STARLETTE}",
        (f"sse-starlette=={SSE_STARLETTE}", WHOLE_STARLETTE, *PYTEST),
        groups=("dev",),
        arguments=("tests", "--ignore", "tests/integration", "--ignore", "tests/experimentation"),
    ),
    (around := of_opentelemetry("asgi")),
    replace(around, name="opentelemetry-asgi-within", bridge="within"),
    of_opentelemetry("starlette", f"starlette[full]=={STARLETTE_OF_OPENTELEMETRY}", "requests"),
    of_opentelemetry(
        "fastapi",
        f"fastapi=={FASTAPI_OF_OPENTELEMETRY}",
        f"starlette[full]=={STARLETTE_OF_OPENTELEMETRY}",
        "requests",
    ),
)

SUITES: Final[Mapping[str, Suite]] = {each.name: each for each in ALL}
