"""Blocking, file-shaped Python behind any ASGI server."""

from .crossing.pool import WorkerPool as WorkerPool
from .errors import BodyAlreadyClaimed as BodyAlreadyClaimed
from .errors import BodyIncomplete as BodyIncomplete
from .errors import BodyTooLarge as BodyTooLarge
from .errors import BridgeError as BridgeError
from .errors import BridgeNotInstalled as BridgeNotInstalled
from .errors import ClientDisconnected as ClientDisconnected
from .errors import ExchangeOver as ExchangeOver
from .errors import HTTPError as HTTPError
from .errors import LengthMismatch as LengthMismatch
from .errors import Overloaded as Overloaded
from .errors import ReadTimeout as ReadTimeout
from .errors import ResponseIncomplete as ResponseIncomplete
from .errors import ResponseOrderError as ResponseOrderError
from .errors import ResponseStarted as ResponseStarted
from .errors import WriteTimeout as WriteTimeout
from .errors import WrongThread as WrongThread
from .handler import handler as handler
from .limits import Limits as Limits
from .reader import BodyReader as BodyReader
from .request import Request as Request
from .writer import Response as Response

__version__ = "0.1.0"
