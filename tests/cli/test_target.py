"""TARGET: how it is read and loaded, and what is said when it cannot be."""

import json
import sys
from pathlib import Path

import pytest

from asgi_bridge.cli import main
from asgi_bridge.cli.errors import CommandError
from asgi_bridge.cli.target import Target, load_object, parse_target


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("app:app", Target("app", "app")),
        ("package.module:maker.app", Target("package.module", "maker.app")),
        ("app.py:app", Target(Path("app.py"), "app")),
        ("../some dir/my-app.py:a.b", Target(Path("../some dir/my-app.py"), "a.b")),
        (r"C:\apps\app.py:app", Target(Path(r"C:\apps\app.py"), "app")),
        ("at:noon/app.py:app", Target(Path("at:noon/app.py"), "app")),
    ],
)
def test_parse(text: str, target: Target) -> None:
    assert parse_target(text) == target
    assert str(target) == text


@pytest.mark.parametrize(
    "text",
    ["", ":", "app", "app:", ":app", "app.py", "app:a b", "app:a..b", "dir/app:app", "a..b:app"],
)
def test_bad_target(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", text]) == 2
    error = capsys.readouterr().err
    assert error.startswith(
        f"asgi-bridge: error: TARGET is module:name or path/to/file.py:name, not {text!r}"
    )
    assert error.count("\n") == 1


def test_missing_name_is_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    main(["serve", "app.py"])
    assert capsys.readouterr().err.endswith("For example app.py:app\n")
    main(["serve", "dir/app"])  # with a name behind it, it would be no better
    assert capsys.readouterr().err.endswith("not 'dir/app'\n")


def load(text: str, app_dir: Path) -> object:
    return load_object(parse_target(text), app_dir=app_dir)


def test_module_in_the_app_dir(here: Path) -> None:
    package = here / "src" / "package"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "module.py").write_text("class Holder:\n    app = 'inner'\n")
    assert load("package.module:Holder.app", here / "src") == "inner"
    assert sys.path[0] == str(here / "src")


def test_file_can_import_its_neighbours(here: Path) -> None:
    (here / "elsewhere").mkdir()
    (here / "elsewhere" / "one.py").write_text("import two\napp = two.value\n")
    (here / "elsewhere" / "two.py").write_text("import one\nvalue = one.__name__\n")
    assert load("elsewhere/one.py:app", here) == "one"


def test_file_hides_no_other_module(here: Path) -> None:
    (here / "elsewhere").mkdir()
    (here / "elsewhere" / "wave.py").write_text("import wave\napp = wave.open\n")
    (here / "elsewhere" / "json.py").write_text("import json\napp = json.loads\n")
    import wave

    del sys.modules["wave"]  # as yet unimported; json is imported already
    try:
        opened = load("elsewhere/wave.py:app", here)
        assert getattr(opened, "__module__", None) == "wave"
        assert getattr(sys.modules["wave"], "__file__", None) == wave.__file__
    finally:
        sys.modules["wave"] = wave
    assert load("elsewhere/json.py:app", here) is json.loads


def test_file_whose_name_is_no_identifier(here: Path) -> None:
    (here / "my-app.v2.py").write_text("app = 'loaded'\n")
    assert load("my-app.v2.py:app", here) == "loaded"


@pytest.mark.parametrize("name", ["once", "not-once"])
def test_file_is_loaded_once(here: Path, name: str) -> None:
    (here / f"{name}.py").write_text("app = object()\n")
    assert load(f"{name}.py:app", here) is load(f"{name}.py:app", here)


def test_file_that_failed_is_loaded_again(here: Path) -> None:
    file = here / "retried.py"
    file.write_text("1 / 0\n")
    with pytest.raises(CommandError):
        load("retried.py:app", here)
    file.write_text("app = 'mended'\n")
    assert load("retried.py:app", here) == "mended"


@pytest.mark.parametrize(
    ("files", "target", "message"),
    [
        (
            {},
            "nowhere:app",
            "there is no module 'nowhere', neither in {here} nor where Python looks",
        ),
        (
            {},
            "nowhere.inner:app",
            "there is no module 'nowhere', neither in {here} nor where Python looks",
        ),
        (
            {"solid.py": ""},
            "solid.inner:app",
            "there is no module 'solid.inner', neither in {here} nor where Python looks",
        ),
        ({}, "nowhere.py:app", "there is no file nowhere.py"),
        (
            {"named.py": "application = 1\nother = 2\n"},
            "named:aplication",
            "named has no 'aplication'; did you mean 'application'?",
        ),
        (
            {"named.py": "application = 1\n"},
            "named.py:application.rael",
            "named.py.application has no 'rael'; did you mean 'real'?",
        ),
        ({"named.py": ""}, "named:zzz", "named has no 'zzz'"),
        (
            {"user.py": "\nimport nowhere\n"},
            "user:app",
            "importing user failed: ModuleNotFoundError: No module named 'nowhere' "
            "({here}/user.py, line 2)",
        ),
        (
            {"user.py": "\nimport nowhere\n"},
            "user.py:app",
            "importing user.py failed: ModuleNotFoundError: No module named 'nowhere' "
            "({here}/user.py, line 2)",
        ),
        (
            {"user.py": "\nimport helper\n", "helper.py": "from json import nothing\n"},
            "user:app",
            "importing user failed: ImportError: cannot import name 'nothing' from 'json' "
            "({json}) ({here}/helper.py, line 1, reached from {here}/user.py, line 2)",
        ),
        (
            {"user.py": "import helper\n", "helper.py": "\nif\n"},
            "user:app",
            "importing user failed: SyntaxError: invalid syntax ({here}/helper.py, line 2)",
        ),
        (
            {"user.py": "raise SystemExit(3)\n"},
            "user.py:app",
            "importing user.py failed: SystemExit: 3 ({here}/user.py, line 1)",
        ),
        (
            {"user.py": "raise ValueError('two fields\\n  are missing')\n"},
            "user.py:app",
            "importing user.py failed: ValueError: two fields are missing ({here}/user.py, line 1)",
        ),
        (
            {"user.py": "x = '\0'\n"},
            "user.py:app",
            "importing user.py failed: {null_bytes}",
        ),
    ],
)
def test_what_cannot_be_loaded(
    files: dict[str, str],
    target: str,
    message: str,
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, text in files.items():
        (here / name).write_text(text)
    assert main(["serve", target]) == 2
    error = capsys.readouterr().err
    assert error.startswith("asgi-bridge: error: ")
    assert error.count("\n") == 1
    if "{null_bytes}" in message:  # its wording is each Python version's own
        assert "null bytes" in error
        return
    assert error == f"asgi-bridge: error: {message.format(here=here, json=json.__file__)}\n"
