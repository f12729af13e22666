"""The one error of the command line: its text is all that the user sees."""

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
