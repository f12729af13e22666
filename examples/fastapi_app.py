"""FastAPI with the bridge around it: one line, and three ways to use it.

Run it and try it:

    asgi-bridge serve examples/fastapi_app.py:app
    curl -T README.md http://127.0.0.1:8000/upper
    curl -T README.md http://127.0.0.1:8000/echo
    curl -T README.md http://127.0.0.1:8000/lines
"""

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from asgi_bridge import BridgeMiddleware, open_body

app = FastAPI()
app.add_middleware(BridgeMiddleware)  # the one line


@app.put("/upper")
def upper(request: Request) -> StreamingResponse:
    """A blocking generator over the body, answered while the body is still coming in."""
    body = open_body(request)
    return StreamingResponse(chunk.upper() for chunk in body.chunks())


@app.put("/echo")
async def echo(request: Request) -> StreamingResponse:
    """Async code needs nothing more than the one line; without it, this loses the body."""
    return StreamingResponse(request.stream())


@app.put("/lines")
def lines(request: Request) -> dict[str, int]:
    """Blocking code over a file, in a plain endpoint."""
    return {"lines": sum(1 for _ in open_body(request))}
