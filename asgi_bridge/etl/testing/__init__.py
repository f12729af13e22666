"""A fake AIStore on loopback: tests for ETL transforms end to end, without a cluster.

    def test_upper(monkeypatch):
        with FakeTarget() as target:
            monkeypatch.setenv("AIS_TARGET_URL", target.url)
            with serving(Upper().app) as etl:
                assert etl.push("bucket/object", b"abc").body == b"ABC"

                etl.push("src/object", b"abc", pipeline=[target.destination("ais/@#/dst/object")])
                assert target.stored["ais/@#/dst/object"] == b"ABC"

`FakeTarget` is AIStore's side that pods call, `Caller` the one that calls pods, `FakeStage`
another pod of a pipeline. What goes wrong is ordered with `order(Reset())` and its like.
"""

from .behaviour import Reply as Reply
from .caller import Answer as Answer
from .caller import Caller as Caller
from .faults import Close as Close
from .faults import Fault as Fault
from .faults import Framing as Framing
from .faults import Raw as Raw
from .faults import Reset as Reset
from .faults import Slow as Slow
from .faults import Stall as Stall
from .faults import StallAnswer as StallAnswer
from .faults import Status as Status
from .faults import Truncate as Truncate
from .faults import When as When
from .hosting import serving as serving
from .loopback import refusing as refusing
from .record import Arrival as Arrival
from .record import Received as Received
from .stage import FakeStage as FakeStage
from .target import FakeTarget as FakeTarget

__all__ = (
    "Answer",
    "Arrival",
    "Caller",
    "Close",
    "FakeStage",
    "FakeTarget",
    "Fault",
    "Framing",
    "Raw",
    "Received",
    "Reply",
    "Reset",
    "Slow",
    "Stall",
    "StallAnswer",
    "Status",
    "Truncate",
    "When",
    "refusing",
    "serving",
)
