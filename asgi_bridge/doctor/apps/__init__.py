"""The applications that are served: one of them for each path, bare or inside the bridge."""

from .served import bare as bare
from .served import bridged as bridged

__all__ = ("bare", "bridged")
