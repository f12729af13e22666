"""As much of S3 on 127.0.0.1 as an upload needs: objects put whole or in parts."""

import contextlib
import itertools
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit


class FakeS3(ThreadingHTTPServer):
    """The server.

    Attributes:
        objects: what was put, by path.
        part_sizes: of each object that was put in parts, the size of each part.
    """

    daemon_threads = False  # server_close waits for them

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.part_sizes: dict[str, list[int]] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}  # those under way, by their ids
        self.ids = map(str, itertools.count(1))

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10  # for a connection on which nothing comes any more
    server: FakeS3
    tag: ClassVar = {"etag": '"tag"'}

    def do_PUT(self) -> None:
        path, query, content = self._taken()
        if upload_id := query.get("uploadId"):
            self.server.uploads[upload_id][int(query["partNumber"])] = content
        else:
            self.server.objects[path] = content
        self._answer(headers=self.tag)

    def do_POST(self) -> None:
        path, query, _ = self._taken()
        if upload_id := query.get("uploadId"):
            parts = self.server.uploads.pop(upload_id)
            whole = [parts[number] for number in sorted(parts)]
            self.server.objects[path] = b"".join(whole)
            self.server.part_sizes[path] = [len(part) for part in whole]
            self._answer("<CompleteMultipartUploadResult/>")
        else:
            upload_id = next(self.server.ids)
            self.server.uploads[upload_id] = {}
            self._answer(
                "<InitiateMultipartUploadResult>"
                f"<UploadId>{upload_id}</UploadId></InitiateMultipartUploadResult>"
            )

    def do_DELETE(self) -> None:
        _, query, _ = self._taken()
        self.server.uploads.pop(query["uploadId"])
        self._answer(status=204)

    def _taken(self) -> tuple[str, dict[str, str], bytes]:
        """The request's path, query and body."""
        url = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        return url.path, query, self.rfile.read(int(self.headers.get("content-length", 0)))

    def _answer(
        self, text: str = "", *, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        content = text.encode()
        self.send_response(status)
        for name, value in {**(headers or {}), "content-length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def fake_s3() -> Iterator[FakeS3]:
    """A server in a thread of its own, stopped at the end."""
    with FakeS3() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(timeout=10)
