"""What the package promises about itself: who imports what, who crosses, what is public."""

import ast
import builtins
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import asgi_bridge

PACKAGE = Path(asgi_bridge.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
# Needs what an extra brings, or is for tests; all else is the core.
BESIDE_THE_CORE = ("cli", "doctor", "testing", "etl", "crossing/trio_portal.py", "__main__.py")


def name_of(path: Path) -> str:
    """The module that a source file is."""
    parts = [PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in SOURCES}


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imports_in(tree: ast.AST, *, in_functions: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports of a module that a program makes; those for type checkers are left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif is_type_checking(node):
            continue
        elif in_functions or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from imports_in(node, in_functions=in_functions)


def imported_by(path: Path, *, in_functions: bool = True) -> set[str]:
    """The full names of the modules that a source file imports, ours and others'."""
    names: set[str] = set()
    package = name_of(path).split(".")
    if path.name != "__init__.py":
        package.pop()
    for node in imports_in(ast.parse(path.read_text()), in_functions=in_functions):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
            continue
        above = package[: len(package) + 1 - node.level] if node.level else []
        base = ".".join([*above, *(node.module or "").split(".")]).strip(".")
        for alias in node.names:
            submodule = f"{base}.{alias.name}"
            names.add(submodule if submodule in MODULES else base)
    return names


def roots(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


# The rooms.


def test_the_protocol_does_no_io() -> None:
    forbidden = {"asyncio", "anyio", "trio", "threading", "socket", "concurrent", "queue", "time"}
    used = {
        (path.name, root)
        for path in (PACKAGE / "protocol").glob("*.py")
        for root in roots(imported_by(path))
    }
    assert ("response.py", "asgi_bridge") in used
    assert {(name, root) for name, root in used if root in forbidden} == set()


def test_the_protocol_knows_nothing_of_those_who_use_it() -> None:
    allowed = {"protocol", "errors", "identity", "types", "headers"}
    ours = {
        name.split(".")[1]
        for path in (PACKAGE / "protocol").glob("*.py")
        for name in imported_by(path)
        if name.startswith("asgi_bridge.")
    }
    assert ours <= allowed


CROSSING = re.compile(r"call_soon_threadsafe|run_coroutine_threadsafe|run_sync_soon|from_thread")


def test_only_the_crossing_calls_into_a_loop() -> None:
    found = {
        path.relative_to(PACKAGE).parts[0] for path in SOURCES if CROSSING.search(path.read_text())
    }
    assert found == {"crossing"}


def test_imports_make_no_circle() -> None:
    """Imports inside functions are left out: they are there to be late."""
    graph = {
        name: imported_by(path, in_functions=False) & MODULES.keys()
        for name, path in MODULES.items()
    }
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join([*way, name])
        if name not in done:
            for imported in sorted(graph[name]):
                visit(imported, (*way, name))
            done.add(name)

    for name in graph:
        visit(name, ())
    assert done == MODULES.keys()


def test_core_needs_anyio_and_asgiref_only() -> None:
    core = [
        path
        for path in SOURCES
        if not path.relative_to(PACKAGE).as_posix().startswith(BESIDE_THE_CORE)
    ]
    used = roots({name for path in core for name in imported_by(path)})
    assert used - sys.stdlib_module_names == {"asgi_bridge", "anyio", "asgiref"}


# The front door.


def test_all_lists_every_public_name() -> None:
    public = {
        name
        for name, value in vars(asgi_bridge).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    # handler is a module and a function; the function is what the package's name stands for
    assert public == set(asgi_bridge.__all__)


def test_all_is_sorted_and_without_repetition() -> None:
    assert list(asgi_bridge.__all__) == sorted(set(asgi_bridge.__all__))


def test_public_names_have_docstrings() -> None:
    assert [name for name in asgi_bridge.__all__ if not getattr(asgi_bridge, name).__doc__] == []


QUIET = """
import asyncio, os, signal, sys, threading
handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
environment = dict(os.environ)

def refuse(*args):
    raise AssertionError("an event loop was made")

asyncio.new_event_loop = asyncio.events.new_event_loop = refuse
import asgi_bridge
assert handlers == {number: signal.getsignal(number) for number in signal.valid_signals()}
assert threading.active_count() == 1, threading.enumerate()
assert dict(os.environ) == environment
loud = {"trio", "hypercorn", "uvicorn", "granian", "uvloop"} & set(sys.modules)
assert not loud, loud
"""


def test_import_is_quiet() -> None:
    command = [sys.executable, "-W", "error", "-c", QUIET]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# What the docstrings say.

# The name before the colon of an entry, and the section's end: a line that is not indented more.
ENTRY = re.compile(r"^    ([A-Za-z_][\w.]*):", re.MULTILINE)
SECTION = re.compile(r"^Raises:\n((?:(?: {4}.*)?\n)*)", re.MULTILINE)


def documented(path: Path) -> Iterator[tuple[str, str]]:
    """Each name under `Raises:` in a source file, with where it stands."""
    kinds = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, kinds):
            for section in SECTION.findall((ast.get_docstring(node) or "") + "\n"):
                names = ENTRY.findall(section)
                assert names, f"{path}: {node.name}: a Raises section without an entry"
                yield from ((name, node.name) for name in names)


def resolves(name: str, module: ModuleType) -> bool:
    """Whether a name, dotted or not, is an exception for a reader of that module."""
    for place in (asgi_bridge, builtins, module):
        found: object = place
        for part in name.split("."):
            found = getattr(found, part, None)
        if isinstance(found, type) and issubclass(found, BaseException):
            return True
    return False


@pytest.mark.parametrize("name", sorted(MODULES.keys() - {"asgi_bridge.__main__"}))
def test_raises_sections_name_real_exceptions(name: str) -> None:
    module = importlib.import_module(name)
    unknown = [each for each in documented(MODULES[name]) if not resolves(each[0], module)]
    assert unknown == []


def test_raises_sections_are_found() -> None:
    """Else the test above could pass for want of anything to look at."""
    found = {entry for path in SOURCES for entry in documented(path)}
    expected = {("ValueError", "Watermarks"), ("Overloaded", "submit"), ("EndOfStream", "take")}
    assert expected <= found
