r"""CSV in, one JSON object for each row out, row by row.

Run it and try it:

    asgi-bridge serve examples/csv_to_json_lines.py:app
    printf 'name,size\nape,3\n' | curl -T - http://127.0.0.1:8000/
"""

import csv
import io
import json
from collections.abc import Iterator

from asgi_bridge import HTTPError, Request, Response, handler


@handler
def app(request: Request, response: Response) -> Iterator[bytes]:
    """Turn each row into a line.

    A body that is no CSV is a 400 as long as no line has been handed over. After that the
    connection is cut, so that the client does not take what it has for the whole.
    """
    response.headers["content-type"] = "application/jsonl"
    text = io.TextIOWrapper(request.body, encoding="utf-8-sig", newline="")
    try:
        for row in csv.DictReader(text, strict=True):
            yield json.dumps(row).encode() + b"\n"
    except (csv.Error, UnicodeDecodeError) as error:
        raise HTTPError(400, f"this is not CSV in UTF-8: {error}\n") from error
