"""A fake ETL pod, for pipelines: it transforms, and answers or sends on."""

import http.client
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import quote, urlsplit

from .behaviour import Behaviour, Reply
from .loopback import LoopbackServer
from .record import Received
from .target import FakeTarget

NEXT_TIMEOUT: Final = 30.0  # seconds that the next stage may take
NO_CONTENT: Final = 204


class FakeStage(LoopbackServer):
    """Another ETL of the pipeline, on loopback.

    It answers 200 with the transformed object; where its request names more stages, it puts the
    object to the next one, and answers what AIStore's own server would: 204 with the length for an
    empty 200 of a target, the next one's answer otherwise.

    Args:
        transform: what it makes of an object, or of each chunk of one.
        target: whose URL and secret it uses to deliver; only needed if it is not the last stage.
        streaming: answer chunk by chunk while the object still comes. Such a stage does not send
            on, and with nobody to read its answer it stops reading, as real ones do.
    """

    def __init__(
        self,
        transform: Callable[[bytes], bytes] = bytes.upper,
        *,
        target: FakeTarget | None = None,
        streaming: bool = False,
    ) -> None:
        super().__init__()
        self._transform = transform
        self._target = target
        self._streaming = streaming

    @property
    def url(self) -> str:
        """Its node URL: without a path, which is how stages and targets differ."""
        return self.origin

    def converse(self, behaviour: Behaviour, request: Received) -> None:
        """Deal with one request, streaming if so made and nothing else was ordered."""
        fault = self._ordered(request)
        if fault is None and self._streaming and request.method == "PUT":
            behaviour.stream(self._each)
        else:
            behaviour.act(fault, self.respond)

    def respond(self, request: Received) -> Reply:
        """Transform an object, and return it or send it on."""
        if request.method != "PUT":
            return Reply(200, b"Running")
        transformed = self._transform(bytes(request.body))
        pipeline = (request.header("ais-node-url") or "").strip()
        if not pipeline:
            return Reply(200, transformed)
        first, _, rest = pipeline.partition(",")
        return self._put(first.strip(), rest.strip(), request, transformed)

    def _each(self, chunks: Iterable[bytes]) -> Iterable[bytes]:
        return (self._transform(chunk) for chunk in chunks)

    def _put(self, node: str, rest: str, request: Received, body: bytes) -> Reply:
        parts = urlsplit(node)
        connection = http.client.HTTPConnection(parts.netloc, timeout=NEXT_TIMEOUT)
        headers = {"ais-node-url": rest} if rest else {}
        try:
            connection.request("PUT", self._path_at(node, request), body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            return Reply(502, f"the next stage: {error!r}".encode())
        finally:
            connection.close()
        if answer.status != NO_CONTENT and (content or answer.status != 200 or not parts.path):
            return Reply(answer.status, content)
        length = answer.getheader("ais-direct-put-length") or len(body)
        return Reply(NO_CONTENT, headers=(("ais-direct-put-length", str(length)),))

    def _path_at(self, node: str, request: Received) -> str:
        """The path and query of the next request: a target's below the ETL's own."""
        parts = urlsplit(node)
        if not parts.path:
            return quote(request.path, safe="/@")
        prefix = urlsplit(self._target.url).path if self._target else ""
        return f"{prefix}{parts.path}?{parts.query}"
