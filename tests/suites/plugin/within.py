"""A pytest plugin: the bridge is inside OpenTelemetry's middleware, and not around it."""

import pytest
from wrapping import put_around_argument  # type: ignore[import-not-found]  # its folder is a path


def pytest_configure(config: pytest.Config) -> None:
    """Put the bridge in place before the suite's modules are imported."""
    put_around_argument(
        "opentelemetry.instrumentation.asgi", "OpenTelemetryMiddleware.__init__", "app"
    )
