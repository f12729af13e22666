"""From the text TARGET to the object that it names.

A module is imported as Python imports it, with the application directory first on the path. A
file is loaded as `python path/to/file.py` would, with one difference: its directory goes to the
*end* of the path. Its neighbours can be imported, but a file named `gzip.py` hides nothing.
"""

import difflib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from .errors import CommandError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Target:
    """What `module:name` or `path/to/file.py:name` says.

    Attributes:
        origin: the dotted module name, or the path of a file.
        name: the attribute in it, dots allowed.
    """

    origin: str | Path
    name: str

    def __str__(self) -> str:
        return f"{self.origin}:{self.name}"


def parse_target(text: str) -> Target:
    """Split a target at its last colon, so that paths may hold colons and Windows drives.

    Raises:
        CommandError: the text is neither of the two forms.
    """
    origin, colon, name = text.rpartition(":")
    if not colon and (text.endswith(".py") or is_dotted_name(text)):
        raise bad_target(text, f"; which name in it? For example {text}:app")
    if not is_dotted_name(name):
        raise bad_target(text)
    if origin.endswith(".py"):
        return Target(Path(origin), name)
    if not is_dotted_name(origin):
        raise bad_target(text)
    return Target(origin, name)


def directory_of(target: Target, app_dir: str) -> Path:
    """Where the sources that belong to a target are looked for."""
    if isinstance(target.origin, Path):
        return target.origin.resolve().parent
    return Path(app_dir)


def bad_target(text: str, hint: str = "") -> CommandError:
    return CommandError(f"TARGET is module:name or path/to/file.py:name, not {text!r}{hint}")


def is_dotted_name(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def load_object(target: Target, *, app_dir: Path) -> object:
    """Import the target's module, or load its file, and return what its name stands for.

    Args:
        target: as `parse_target` returns it.
        app_dir: goes to the front of `sys.path`.

    Raises:
        CommandError: there is no such module, file or attribute; or the module's own code
            failed, and then the message says what failed and in which line.
    """
    if str(app_dir) not in sys.path:
        sys.path.insert(0, str(app_dir))
    module: object
    if isinstance(target.origin, Path):
        module = load_file(target.origin)
    else:
        module = load_module(target.origin, app_dir)
    found, path = module, str(target.origin)
    for part in target.name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise CommandError(f"{path} has no {part!r}{suggestion(part, found)}") from None
        path = f"{path}.{part}"
    return found


def load_module(name: str, app_dir: Path) -> ModuleType:
    try:
        return calling_user_code(f"importing {name}", importlib.import_module, name)
    except CommandError as error:
        cause = error.__cause__
        if isinstance(cause, ModuleNotFoundError) and not user_frames(cause):
            raise CommandError(
                f"there is no module {cause.name!r}, neither in {app_dir} nor where Python looks"
            ) from None
        raise


def load_file(file: Path) -> ModuleType:
    path = file.resolve()
    if not path.is_file():
        raise CommandError(f"there is no file {file}")
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    name = module_name(path)
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None, "a .py file always has a spec"
    assert spec.loader is not None, "and the spec a loader"
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        calling_user_code(f"importing {file}", spec.loader.exec_module, module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def module_name(path: Path) -> str:
    """Under which name to load a file whose directory is on the import path.

    Its stem, if importing that gives this very file: a neighbour that imports it back, or a
    pickle, then gets the same module. Else a name that nothing else imports.
    """
    there = sys.modules.get(path.stem)
    if there is not None:
        found = getattr(there, "__file__", None)
    else:
        spec = importlib.util.find_spec(path.stem) if path.stem.isidentifier() else None
        found = spec and spec.origin
    return path.stem if found == str(path) else f"asgi-bridge target {path}"


def calling_user_code(doing: str, function: Callable[..., T], *arguments: object) -> T:
    """Call a function that runs the user's code; let a failure name its file and line.

    Raises:
        CommandError: the function raised; its exception is the cause.
    """
    try:
        return function(*arguments)
    except (Exception, SystemExit) as error:
        raise CommandError(f"{doing} failed: {type(error).__name__}: {describe(error)}") from error


def describe(error: BaseException) -> str:
    """An exception's text with the place of its raising and of the user's line that led there."""
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"{error.msg} ({error.filename}, line {error.lineno})"
    frames = user_frames(error)
    if not frames:
        return str(error)
    places = [f"{frame.filename}, line {frame.lineno}" for frame in (frames[-1], frames[0])]
    reached = f", reached from {places[1]}" if frames[0].filename != frames[-1].filename else ""
    return f"{error} ({places[0]}{reached})"


def user_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """The frames of a traceback that are neither ours nor the import system's, outermost first."""
    import_system = ("<frozen importlib", importlib.__file__, __file__)
    return [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(import_system)
    ]


def suggestion(name: str, owner: object) -> str:
    close = difflib.get_close_matches(name, dir(owner), n=3)
    return "; did you mean " + " or ".join(repr(each) for each in close) + "?" if close else ""
