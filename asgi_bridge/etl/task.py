"""Task: what a request asks an ETL server for."""

from typing import NamedTuple

from .delivery import Hop
from .transform import Job


class Task(NamedTuple):
    """What a request asks for.

    Attributes:
        job: for the transform.
        hop: where the output goes, None for the caller.
        url: where the object comes from, empty for a file and for the request's body.
        foreign: that is not a target's.
    """

    job: Job
    hop: Hop | None
    url: str = ""
    foreign: bool = False
