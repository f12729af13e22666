"""The one error of the command line: its text is all that the user sees."""

import sys
from collections.abc import Callable

from ..errors import BridgeError


class CommandError(BridgeError):
    """The command cannot do what it was asked to; no traceback would say more.

    Args:
        message: what came, what was wrong with it and, where there is one, the way out.
        exit_code: of the process.
    """

    def __init__(self, message: str, *, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def exit_code_of(run: Callable[[], int]) -> int:
    """Run the body of a process; return its exit code, with a line on stderr where it failed."""
    try:
        return run()
    except CommandError as error:
        tell(f"error: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        return 0


def tell(text: str) -> None:
    """Write a line of the command's own to stderr; of a text of several lines, one line."""
    line = " ".join(part.strip() for part in text.splitlines())  # others' exceptions have several
    print(f"asgi-bridge: {line}", file=sys.stderr, flush=True)
