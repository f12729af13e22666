"""Blocking, file-shaped Python behind any ASGI server."""

from .crossing.pool import WorkerPool as WorkerPool
from .errors import BodyAlreadyClaimed as BodyAlreadyClaimed
from .errors import BodyIncomplete as BodyIncomplete
from .errors import BodyTooLarge as BodyTooLarge
from .errors import BodyTooSlow as BodyTooSlow
from .errors import BridgeError as BridgeError
from .errors import BridgeNotInstalled as BridgeNotInstalled
from .errors import ClientDisconnected as ClientDisconnected
from .errors import ExchangeOver as ExchangeOver
from .errors import HTTPError as HTTPError
from .errors import LengthMismatch as LengthMismatch
from .errors import Overloaded as Overloaded
from .errors import ReadTimeout as ReadTimeout
from .errors import ReceiveReplaced as ReceiveReplaced
from .errors import ResponseIncomplete as ResponseIncomplete
from .errors import ResponseOrderError as ResponseOrderError
from .errors import ResponseStarted as ResponseStarted
from .errors import ServerShutdown as ServerShutdown
from .errors import SpoolFull as SpoolFull
from .errors import TotalTimeout as TotalTimeout
from .errors import WriteTimeout as WriteTimeout
from .errors import WrongThread as WrongThread
from .handler import HandlerApp as HandlerApp
from .handler import handler as handler
from .iterate import iterate_in_worker as iterate_in_worker
from .limits import Limits as Limits
from .middleware import BridgeMiddleware as BridgeMiddleware
from .open_body import open_body as open_body
from .protocol.watermarks import Watermarks as Watermarks
from .reader import BodyReader as BodyReader
from .request import Request as Request
from .spool import SpooledReader as SpooledReader
from .stats import ExchangeStats as ExchangeStats
from .stats import Outcome as Outcome
from .writer import Response as Response

__version__ = "0.1.0"

__all__ = (
    "BodyAlreadyClaimed",
    "BodyIncomplete",
    "BodyReader",
    "BodyTooLarge",
    "BodyTooSlow",
    "BridgeError",
    "BridgeMiddleware",
    "BridgeNotInstalled",
    "ClientDisconnected",
    "ExchangeOver",
    "ExchangeStats",
    "HTTPError",
    "HandlerApp",
    "LengthMismatch",
    "Limits",
    "Outcome",
    "Overloaded",
    "ReadTimeout",
    "ReceiveReplaced",
    "Request",
    "Response",
    "ResponseIncomplete",
    "ResponseOrderError",
    "ResponseStarted",
    "ServerShutdown",
    "SpoolFull",
    "SpooledReader",
    "TotalTimeout",
    "Watermarks",
    "WorkerPool",
    "WriteTimeout",
    "WrongThread",
    "handler",
    "iterate_in_worker",
    "open_body",
)
