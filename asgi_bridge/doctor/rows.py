"""The servers that are asked, one row for each way of running them."""

from collections.abc import Mapping
from typing import Any, Final

from .row import Row


def uvicorn(
    name: str,
    http: str,
    *options: str,
    loop: str = "asyncio",
    protocol: str = "h1",
    tls: bool = False,
) -> Row:
    files = ("--ssl-certfile={chain}", "--ssl-keyfile={key}") if tls else ()
    return Row(
        name=name,
        server="uvicorn",
        protocol=protocol,
        loop=loop,
        tls=tls,
        command=(
            *("uvicorn", f"--http={http}", f"--loop={loop}", "--port=0", "--no-access-log"),
            *("--timeout-graceful-shutdown=1", *files, *options, "{app}"),
        ),
        needs=(http,),
    )


# No message makes Hypercorn reset a stream (measured: trailers, push, a second start). An early end
# tells the client where a length was declared, and only there (asgi_bridge/exchange/forgetful.py).
# An exception that is no Exception closes the whole connection of HTTP/2 on asyncio, ends the
# server on trio and its listener for HTTP/3. A connection of HTTP/2 without any other stream is
# closed after the keep-alive timeout, which is the only end there is.
NEVER_RESET = "Hypercorn neither ends nor resets a stream whose application failed midway"
NEVER_TOLD = "Hypercorn does not tell the application of the end of an HTTP/3 stream or connection"
ASKS = "it sends the 100 by itself, before it calls the application"


def hypercorn(
    name: str,
    *,
    loop: str = "asyncio",
    protocol: str = "h1",
    tls: bool = False,
    limits: Mapping[str, str],
) -> Row:
    quic = ("--quic-bind=127.0.0.1:0",) if protocol == "h3" else ()
    files = ("--certfile={chain}", "--keyfile={key}") if tls or quic else ()
    return Row(
        name=name,
        server="hypercorn",
        protocol=protocol,
        loop=loop,
        tls=tls,
        command=(
            # no workers is Hypercorn's word for "in this process"
            *("hypercorn", "--workers=0", "--bind=127.0.0.1:0", f"--worker-class={loop}"),
            *("--graceful-timeout=1", *quic, *files, "{app}"),
        ),
        needs={"h1": ("h11",), "h2": ("h2",), "h3": ("aioquic",)}[protocol],
        limits=limits,
    )


FAILING = ("raises-midway", "raises-midway-length", "returns-midway", "blocking-raises-midway")
LEAVING = ("send-raises", "leaves-streaming", "leaves-streaming-upload", "leaves-uploading")

# Where a length is declared the client can tell from it that an end came too early.
UNDECLARED = tuple(name for name in FAILING if name != "raises-midway-length")

FAILS_UNSEEN = dict.fromkeys(UNDECLARED, NEVER_RESET)
ON_H1 = {"continue-not-sent": ASKS}
ON_H3 = {**FAILS_UNSEEN, **dict.fromkeys(LEAVING, NEVER_TOLD)}

BUFFERS = "Daphne calls the application when the whole upload is here"
NEVER_CLOSED = "Daphne leaves the connection open, and its answer unfinished, when an app failed"
DURING_UPLOADS = (
    *("body-lock-step-length", "body-lock-step-chunked", "blocking-lock-step", "tail"),
    *("leaves-streaming-upload", "leaves-uploading"),
)
# The checks of these have another stream half way through at the same time.
BESIDE_UPLOADS = (
    "early-answer",
    "early-answer-unread",
    "blocking-early-answer",
    "raises-in-upload",
)
ON_DAPHNE = {
    "continue-not-sent": ASKS,
    **dict.fromkeys(DURING_UPLOADS, BUFFERS),
    **dict.fromkeys(FAILING, NEVER_CLOSED),
}
ON_DAPHNE_H2 = {**ON_DAPHNE, **dict.fromkeys(BESIDE_UPLOADS, BUFFERS)}


def granian(name: str, protocol: str, loop: str = "asyncio", *, tls: bool = False) -> Row:
    files = ("--ssl-certificate={chain}", "--ssl-keyfile={key}") if tls else ()
    return Row(
        name=name,
        server="granian",
        protocol=protocol,
        loop=loop,
        tls=tls,
        command=(
            *("granian", "--interface=asgi", "--port={port}", f"--http={protocol[1:]}"),
            *(f"--loop={loop}", "--workers-kill-timeout=1", *files, "{app}"),
        ),
    )


def gunicorn(
    name: str, worker: str, *options: str, protocol: str = "h1", tls: bool = False, **more: Any
) -> Row:
    files = ("--certfile={chain}", "--keyfile={key}") if tls else ()
    return Row(
        name=name,
        server="gunicorn",
        protocol=protocol,
        tls=tls,
        command=(
            *("gunicorn", f"--worker-class={worker}", "--workers=1", "--bind=127.0.0.1:0"),
            *("--graceful-timeout=1", "--no-control-socket", *files, *options, "{app}"),
        ),
        **more,
    )


TWISTED_TLS = "--endpoint=ssl:0:privateKey={key}:certKey={chain}:interface=127.0.0.1"


def daphne(name: str, *where: str, protocol: str = "h1", tls: bool = False) -> Row:
    return Row(
        name=name,
        server="daphne",
        protocol=protocol,
        tls=tls,
        command=("daphne", *where, "{app}"),
        # what makes Twisted offer it
        needs={"h1": (), "h2": ("h2", "priority")}[protocol],
        limits={"h1": ON_DAPHNE, "h2": ON_DAPHNE_H2}[protocol],
    )


ROWS: Final[Mapping[str, Row]] = {
    row.name: row
    for row in (
        uvicorn("uvicorn-h11", "h11"),
        uvicorn("uvicorn-h11-uvloop", "h11", loop="uvloop"),
        uvicorn("uvicorn-httptools", "httptools"),
        uvicorn("uvicorn-httptools-uvloop", "httptools", loop="uvloop"),
        uvicorn("uvicorn-zttp", "zttp"),
        uvicorn("uvicorn-zttp-uvloop", "zttp", loop="uvloop"),
        uvicorn("uvicorn-zttp-h2", "zttp", "--http2", protocol="h2"),
        uvicorn("uvicorn-zttp-h2-uvloop", "zttp", "--http2", loop="uvloop", protocol="h2"),
        hypercorn("hypercorn-h1", limits=ON_H1),
        hypercorn("hypercorn-h1-uvloop", loop="uvloop", limits=ON_H1),
        hypercorn("hypercorn-h1-trio", loop="trio", limits=ON_H1),
        hypercorn("hypercorn-h2", protocol="h2", limits=FAILS_UNSEEN),
        hypercorn("hypercorn-h2-uvloop", protocol="h2", loop="uvloop", limits=FAILS_UNSEEN),
        hypercorn("hypercorn-h2-trio", protocol="h2", loop="trio", limits=FAILS_UNSEEN),
        hypercorn("hypercorn-h3", protocol="h3", limits=ON_H3),
        hypercorn("hypercorn-h3-uvloop", protocol="h3", loop="uvloop", limits=ON_H3),
        hypercorn("hypercorn-h3-trio", protocol="h3", loop="trio", limits=ON_H3),
        granian("granian-h1", "h1"),
        granian("granian-h1-uvloop", "h1", "uvloop"),
        granian("granian-h2", "h2"),
        granian("granian-h2-uvloop", "h2", "uvloop"),
        gunicorn(
            "gunicorn-uvicorn",
            "uvicorn_worker.UvicornWorker",
            needs=("uvicorn_worker", "uvicorn"),
        ),
        gunicorn("gunicorn-asgi", "asgi"),
        daphne("daphne", "--port=0", "--bind=127.0.0.1"),
        uvicorn("uvicorn-h11-tls", "h11", tls=True),
        uvicorn("uvicorn-httptools-tls-uvloop", "httptools", loop="uvloop", tls=True),
        uvicorn("uvicorn-zttp-h2-tls", "zttp", "--http2", protocol="h2", tls=True),
        hypercorn("hypercorn-h1-tls", tls=True, limits=ON_H1),
        hypercorn("hypercorn-h2-tls", protocol="h2", tls=True, limits=FAILS_UNSEEN),
        hypercorn(
            "hypercorn-h2-tls-trio", protocol="h2", loop="trio", tls=True, limits=FAILS_UNSEEN
        ),
        granian("granian-h1-tls", "h1", tls=True),
        granian("granian-h2-tls", "h2", tls=True),
        gunicorn(
            "gunicorn-uvicorn-tls",
            "uvicorn_worker.UvicornWorker",
            tls=True,
            needs=("uvicorn_worker", "uvicorn"),
        ),
        gunicorn("gunicorn-asgi-tls", "asgi", tls=True),
        gunicorn(
            "gunicorn-asgi-h2-tls",
            "asgi",
            "--http-protocols=h2,h1",
            protocol="h2",
            tls=True,
            needs=("h2",),
        ),
        daphne("daphne-tls", TWISTED_TLS, tls=True),
        daphne("daphne-h2-tls", TWISTED_TLS, protocol="h2", tls=True),
    )
}
