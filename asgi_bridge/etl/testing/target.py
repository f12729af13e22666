"""A fake AIStore target: objects in memory, GET of the source, direct PUT of the result."""

import ssl
from typing import Final
from urllib.parse import quote, unquote, urlencode

from .behaviour import Reply
from .faults import Status, When
from .loopback import LoopbackServer
from .record import Arrival, Received

SAFE: Final = "$&+=:@"  # what Go's url.PathEscape leaves alone, beside the unreserved characters
PREFIX: Final = "/v1/etl/_object"
NOT_FOUND: Final = 404
BAD_REQUEST: Final = 400


def escaped(uname: str) -> str:
    """A name as one segment of a path, as AIStore writes it."""
    return quote(uname, safe=SAFE)


class FakeTarget(LoopbackServer):
    """One AIStore target, as an ETL pod meets it, on loopback, with its objects in memory.

    `GET <url>/<uname>` returns a source object, `PUT <url>/<uname>?owt=..&uuid=..` stores what a
    pod delivers, and only if all of it arrives. The uname is one opaque segment, as
    `ais%2F@%23%2Fbucket%2Fobject`; more segments, another secret, or a PUT with no job's uuid are
    a 400, before the body is read. Every request is kept in `requests`.

        with FakeTarget() as target:
            target.objects["ais/@#/src/a.txt"] = b"abc"
            monkeypatch.setenv("AIS_TARGET_URL", target.url)

    Args:
        etl_name: of the ETL, a part of the URL.
        secret: of the ETL, a part of the URL; the only authorisation there is.
        tls: speak HTTPS with this context.

    Attributes:
        objects: what GET returns, by uname: `ais/@#/bucket/object`.
        stored: what was delivered whole, by uname; the newest delivery stands.
        deliveries: every whole delivery, the oldest first, as pairs of uname and bytes.
    """

    def __init__(
        self,
        *,
        etl_name: str = "my-etl",
        secret: str = "s3cr3t",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(tls=tls)
        self.objects: dict[str, bytes] = {}
        self.stored: dict[str, bytes] = {}
        self.deliveries: list[tuple[str, bytes]] = []
        self._prefix = f"{PREFIX}/{etl_name}/{secret}/"
        self._uuids: set[str] = set()

    @property
    def url(self) -> str:
        """What a pod is given as AIS_TARGET_URL."""
        return self.origin + self._prefix.rstrip("/")

    def destination(self, uname: str, *, owt: str = "6", uuid: str = "x1") -> str:
        """The node URL of a direct put, as it stands at the end of a pipeline.

        Args:
            uname: of the object to be: `ais/@#/bucket/object`.
            owt: what AIStore calls the kind of the put; any.
            uuid: of the job; the target accepts deliveries with it from now on.
        """
        self._uuids.add(uuid)
        return f"{self.origin}/{escaped(uname)}?{urlencode({'owt': owt, 'uuid': uuid})}"

    def reset(self) -> None:
        """Forget all orders, requests, objects and deliveries."""
        super().reset()
        self.objects.clear()
        self.stored.clear()
        self.deliveries.clear()

    def puts(self, uname: str | None = None) -> list[Received]:
        """The direct puts among the requests, whole or not.

        Args:
            uname: only those of this object. An upload that was cut may be noted only after its
                pod has answered, and after `reset`: who counts gives each object a name of its own.
        """
        path = None if uname is None else self._prefix + escaped(uname)
        found = [each for each in self.requests if each.method == "PUT"]
        return [each for each in found if path in (None, each.raw_path)]

    def gets(self) -> list[Received]:
        """The requests for source objects."""
        return [each for each in self.requests if each.method == "GET"]

    def refusal(self, request: Received) -> Status | None:
        """A 400, before the body, for what no pod of this ETL may send."""
        reason = self._objection(request)
        if reason is None:
            return None
        return Status(status=BAD_REQUEST, body=reason.encode(), when=When.BEFORE_BODY)

    def respond(self, request: Received) -> Reply:
        """Return an object, or store one."""
        uname = unquote(request.raw_path.removeprefix(self._prefix))
        if request.method == "GET":
            found = self.objects.get(uname)
            if found is None:
                return Reply(NOT_FOUND, f"{uname} does not exist".encode())
            return Reply(200, found)
        assert request.arrival is Arrival.COMPLETE, "a reply is due to whole requests only"
        self.stored[uname] = bytes(request.body)
        self.deliveries.append((uname, bytes(request.body)))
        return Reply()

    def _objection(self, request: Received) -> str | None:
        if request.method not in ("GET", "PUT"):
            return f"method {request.method}"
        segment = request.raw_path.removeprefix(self._prefix)
        if segment == request.raw_path:
            return "not the path and secret of this ETL"
        if not segment or "/" in segment:
            return "the object is not one segment of the path"
        if request.method == "PUT" and request.query.get("uuid") not in self._uuids:
            return "no such job"
        return None
