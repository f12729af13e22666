"""Whatever is typed, the command says in one line what is wrong with it."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asgi_bridge.cli import main
from asgi_bridge.cli.binding import parse_bind
from asgi_bridge.cli.errors import CommandError
from asgi_bridge.cli.target import Target, parse_target

quickly = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

# What a terminal can show; an error is one line of it.
anything = st.text(st.characters(exclude_categories=("C", "Z")), max_size=20)
options = st.sampled_from(
    ["--bind", "-b", "--workers", "-w", "--server", "-k", "--app-dir", "--keep-alive", "--factory"]
)
values = st.sampled_from(["-1", "0", "1", "::1:80", "[::1]:80", "127.0.0.1:99999", "²", "٣", "1e3"])
# It names nothing that there is, so that nothing is ever served.
targets = st.sampled_from(["no_such_module_here:app", "no/such/file.py:app", "no_such_module_here"])


@quickly
@given(arguments=st.lists(options | values | anything, max_size=6), target=targets | anything)
def test_arguments(arguments: list[str], target: str, capsys: pytest.CaptureFixture[str]) -> None:
    if any("h" in each[:3] for each in [target, *arguments] if each.startswith("-")):
        return  # asks for help, and gets it
    assert main(["serve", target, *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("asgi-bridge: error: ")
    assert error.count("\n") == 1


@quickly
@given(text=st.text(max_size=30) | st.from_regex(r"\S{0,9}:\S{0,6}"))
def test_bind_addresses(text: str) -> None:
    try:
        host, port = parse_bind(text)
    except ValueError:
        return
    assert 0 <= port <= 65535
    assert host in text


@quickly
@given(text=st.text(max_size=30) | st.from_regex(r"[\w./]{0,9}(\.py)?:[\w.]{0,6}"))
def test_targets(text: str) -> None:
    try:
        target = parse_target(text)
    except CommandError:
        return
    assert isinstance(target, Target)
    assert all(part.isidentifier() for part in target.name.split("."))
