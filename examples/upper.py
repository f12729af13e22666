"""Upper case for a body of any size, while it is still coming in.

Run it and try it:

    asgi-bridge serve examples/upper.py:app
    curl -T README.md http://127.0.0.1:8000/
"""

from collections.abc import Iterator

from asgi_bridge import Request, Response, handler


@handler
def app(request: Request, response: Response) -> Iterator[bytes]:
    """Answer each chunk as it comes."""
    response.headers["content-type"] = request.headers.get("content-type", "text/plain")
    for chunk in request.body.chunks():
        yield chunk.upper()
