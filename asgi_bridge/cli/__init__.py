"""The `asgi-bridge` command: one module per subcommand.

A subcommand's module has `add_parser(subparsers)`, which declares its arguments and sets the
default `run`, a function from the parsed arguments to the exit code.
"""

import argparse
from collections.abc import Sequence
from typing import NoReturn

from . import doctor, serve
from .errors import CommandError, exit_code_of

__all__ = ("main",)

COMMANDS = (doctor, serve)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, like every other error of the command."""

    def error(self, message: str) -> NoReturn:
        raise CommandError(f"{message} (see {self.prog} --help)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: what follows the command's name; `sys.argv[1:]` when left out.

    Returns:
        The exit code: 0 after a clean end, SIGINT and SIGTERM among them; 2 when the command
        could not start, with one line on stderr; 1, or the server's own code, when the server
        failed.

    Raises:
        SystemExit: after --help and --version, as argparse does; or by the server.
    """
    return exit_code_of(lambda: run(arguments))


def run(arguments: Sequence[str] | None) -> int:
    parser = build_parser()
    parsed, unknown = parser.parse_known_args(arguments)
    if unknown:  # argparse's own error for them points to the help of the whole command
        helps = " ".join(filter(None, (parser.prog, parsed.command, "--help")))
        raise CommandError(f"unrecognized arguments: {' '.join(unknown)} (see {helps})")
    if parsed.command is None:
        parser.print_help()
        return 0
    exit_code: int = parsed.run(parsed)
    return exit_code


def build_parser() -> Parser:
    """The command's parser with all its subcommands."""
    from .. import __version__

    parser = Parser(
        prog="asgi-bridge", description="Blocking, file-shaped Python behind any ASGI server."
    )
    parser.add_argument("--version", action="version", version=f"asgi-bridge {__version__}")
    subparsers = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser
