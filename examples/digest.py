"""The SHA-256 of a body of any size: a plain return value is the whole answer.

Run it and try it:

    asgi-bridge serve examples/digest.py:app
    curl -T README.md http://127.0.0.1:8000/
"""

import hashlib

from asgi_bridge import Request, Response, handler


@handler
def app(request: Request, response: Response) -> str:
    """Hash the body as it comes, and answer in hexadecimal."""
    return hashlib.file_digest(request.body, "sha256").hexdigest() + "\n"
