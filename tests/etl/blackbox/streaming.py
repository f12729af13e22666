"""The streaming pods' application; a module of its own, as some servers take nothing else."""

from .transforms import Streaming

app = Streaming().app
