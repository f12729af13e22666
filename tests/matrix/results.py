"""What a run has measured, in files that `render` makes the page from.

A run writes into the directory that MATRIX_RESULTS names, and nothing where it names none:
`servers/<row>.json`, one for each row of servers, in the form of `asgi-bridge doctor --json`;
`frameworks/<row>.json`: what each application has come to, by the way in which the client sent;

    {"name": "uvicorn-h11", "protocol": "h1", "tls": false, "loop": "asyncio",
     "versions": {"Starlette": "Starlette 1.10.0"},
     "bare": {"starlette-stream": {"slow-length": {"outcome": "lost", "limit": null}}},
     "bridged": {"starlette-stream": {"slow-length": {"outcome": "ok", "limit": null}}}}

and `proxies/<configuration>-<server>.json`: what each check has found through one proxy.

    {"configuration": "haproxy", "server": "uvicorn", "date": "2026-11-28",
     "versions": {"proxy": "HAProxy 2.8.25", "server": "uvicorn 0.54.0"},
     "checks": {"reuse": {"title": "two requests on one connection", "outcome": "ok",
                          "detail": "", "seconds": 0.01, "limit": null}}}
"""

import json
import os
from pathlib import Path
from typing import Any, Final

VARIABLE: Final = "MATRIX_RESULTS"
SERVERS: Final = "servers"
FRAMEWORKS: Final = "frameworks"
PROXIES: Final = "proxies"


def record(kind: str, name: str, run: dict[str, Any]) -> None:
    """Keep what was measured on one row of servers, or through one proxy.

    Args:
        kind: SERVERS, FRAMEWORKS or PROXIES.
        name: the row's, or that of the proxy and its server.
        run: a value that JSON can hold.
    """
    named = os.environ.get(VARIABLE)
    if named:
        directory = Path(named, kind)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{name}.json").write_text(json.dumps(run, indent=2) + "\n")
