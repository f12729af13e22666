"""The ETL server is built on public names only, and brings its own dependencies alone."""

import ast
from pathlib import Path

import pytest

import asgi_bridge
import asgi_bridge.etl

PACKAGE = Path(asgi_bridge.etl.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_private(path: Path) -> None:
    depth = len(path.relative_to(PACKAGE).parts)  # as many dots stay within the package
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("asgi_bridge.") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level <= depth, f"line {node.lineno} reaches out of the package"
            module = node.module or ""
            if not node.level and module.startswith("asgi_bridge"):
                assert module == "asgi_bridge", f"line {node.lineno}: {module}"
                names = {alias.name for alias in node.names} - {"__version__"}
                assert names <= set(asgi_bridge.__all__)


def test_no_framework_and_no_aistore() -> None:
    code = "".join(path.read_text() for path in SOURCES)
    for name in ("fastapi", "starlette", "aistore", "httpx"):
        assert f"import {name}" not in code
        assert f"from {name}" not in code
