"""What the log says: one line for each object that did not come out as it should."""

import logging
import os
import sys
from typing import Final

FORMAT: Final = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"
LEVEL_VARIABLE: Final = "LOG_LEVEL"

_LONGEST: Final = 500  # characters of a reason: it may be another server's page


def set_up_logging(name: str) -> logging.Logger:
    """Send logs to stdout, as AIStore's own server does, unless logging has been set up already.

    Args:
        name: of the logger to return. Its level is that of the environment's LOG_LEVEL, else INFO.

    Raises:
        ValueError: LOG_LEVEL is no level.
    """
    level = level_of(os.environ.get(LEVEL_VARIABLE, ""))
    logging.basicConfig(level=level, format=FORMAT, stream=sys.stdout)
    logger = logging.getLogger(name)
    logger.setLevel(level)
    return logger


def level_of(text: str) -> int:
    """The level that a text names, INFO for an empty one."""
    text = text.strip().upper()
    if not text:
        return logging.INFO
    level = int(text) if text.isdecimal() else logging.getLevelNamesMapping().get(text)
    if level is None:
        raise ValueError(f"{LEVEL_VARIABLE} is a level such as INFO or DEBUG, not {text!r}")
    return level


def report(logger: logging.Logger, path: str, status: int, reason: str, hop: str = "") -> None:
    """Log that an object was refused, or could not be made or delivered.

    Args:
        path: of the object.
        status: of the answer; 500 and more are errors, others are the caller's fault and warnings.
        reason: what is wrong.
        hop: the next hop as the request names it, empty for none.
    """
    where = f" (next hop {hop})" if hop else ""
    line = " ".join(reason.split())[:_LONGEST]
    level = logging.ERROR if status >= 500 else logging.WARNING
    logger.log(level, "%r: %d %s%s", path, status, line, where)
