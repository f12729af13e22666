"""AIStore's ETL protocol on the bridge: objects in, what a blocking transform makes of them out."""

from .server import ETLServer as ETLServer
from .server import FastAPIServer as FastAPIServer

__all__ = ("ETLServer", "FastAPIServer")
