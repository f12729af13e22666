"""The buffered pods' application; a module of its own, as some servers take nothing else."""

from .transforms import Buffered

app = Buffered().app
