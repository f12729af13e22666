"""Compress a body: the writer style, for code that wants a file to write to.

Run it and try it:

    asgi-bridge serve examples/gzip_body.py:app
    curl -T README.md http://127.0.0.1:8000/ | gunzip
"""

import gzip
import shutil

from asgi_bridge import Request, Response, handler


@handler
def app(request: Request, response: Response) -> None:
    """Copy from one file, the request's body, to another, the response."""
    response.headers["content-type"] = "application/gzip"
    with gzip.GzipFile(fileobj=response, mode="wb") as compressed:
        shutil.copyfileobj(request.body, compressed)
