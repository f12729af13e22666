"""Local files that a request names: which are meant, and which it may have."""

import os
import site
import sys
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

from .errors import Refused

# The kernel's files, with the environment of every process in them, and what an orchestrator
# mounts for the pod alone.
_NEVER: Final = ("/proc", "/sys", "/dev", "/run/secrets", "/var/run/secrets")


def sanitize_fqn(fqn: str) -> str:
    """The absolute, normal path that an `etl_fqn` value stands for.

    Args:
        fqn: the value, decoded once with the query; it is encoded once more inside.
    """
    return os.path.normpath(os.path.join("/", unquote(fqn).lstrip("/")))


class FileAccess:
    """Decides which local files a request may name.

    Args:
        roots: the directories that they must be in; none for anywhere but the system's own
            files and the process' own.
        own_files: files of this process that are never given away, besides its code.
    """

    def __init__(self, roots: Iterable[str], own_files: Iterable[str]) -> None:
        self._roots = tuple(os.path.realpath(root) for root in roots)
        prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, *site.getsitepackages()}
        kept = {*_NEVER, *prefixes, *own_files, sys.executable}
        main = getattr(sys.modules.get("__main__"), "__file__", None)
        if main is not None:
            kept.add(main)
        self._never = tuple({os.path.realpath(path) for path in kept} - {"/"})

    def check(self, fqn: str) -> str:
        """Return the real path of a file that a request names, there or not; blocking.

        Raises:
            Refused: it is outside of the roots, or must never be given away; status 403.
        """
        if "\0" in fqn:
            raise Refused(400, "the file name has a NUL in it")
        real = os.path.realpath(fqn)
        allowed = not self._roots or any(is_inside(real, root) for root in self._roots)
        # The name itself, too: /proc has links that lead to any file, and out of the pod.
        named = (real, os.path.normpath(fqn))
        if not allowed or any(is_inside(name, path) for name in named for path in self._never):
            raise Refused(403, f"this server does not read '{fqn}'; see AIS_ETL_FQN_ROOTS")
        return real


def is_inside(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")
