"""The child process: one application on one server, on a socket that the parent has bound.

`python -m tests.benchmarks.serve SERVER APP FD`, started by `servers.py` and nobody else.
"""

import asyncio
import socket
import sys

from asgi_bridge.types import ASGIApp

from .apps import APPS


def serve_uvicorn(app: ASGIApp, listener: socket.socket) -> None:
    import uvicorn

    config = uvicorn.Config(
        app, http="httptools", loop="uvloop", ws="none", log_level="warning", access_log=False
    )
    uvicorn.Server(config).run(sockets=[listener])


def serve_hypercorn(app: ASGIApp, listener: socket.socket) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.loglevel = "WARNING"
    asyncio.run(serve(app, config, mode="asgi"))  # type: ignore[arg-type]  # its own TypedDicts


SERVE = {"uvicorn": serve_uvicorn, "hypercorn": serve_hypercorn}


if __name__ == "__main__":
    _, server_name, app_name, descriptor = sys.argv
    SERVE[server_name](APPS[app_name].make(), socket.socket(fileno=int(descriptor)))
