# What this module decides: where a transformed object goes next, and under which URL.
#
# Rule 1: a pipeline is URLs joined by commas. The first is the next hop; the rest goes on to it
#         as it was (AIS escapes commas inside of names).
# Rule 2: a URL with a path names an object on a target, and gets the target's prefix with the
#         secret. One without a path is a stage, and gets the object's own path.
# Rule 3: each URL keeps its own scheme: stages speak plain HTTP on a cluster of HTTPS targets.
"""The pipeline header, and the URLs that come of it."""

from typing import Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit, urlunsplit


class InvalidPipelineError(ValueError):
    """A pipeline header that names no way."""

    status_code = 400


class Pipeline(NamedTuple):
    """A parsed pipeline.

    Attributes:
        first: the next hop's URL, empty where the answer goes to the caller.
        rest: what the next hop is told of the hops after it.
    """

    first: str
    rest: str


# What most requests have.
_NONE: Final = Pipeline("", "")


def parse_etl_pipeline(header: str) -> Pipeline:
    """Split a pipeline header into the next hop and the rest; an entry need not be a URL.

    Raises:
        InvalidPipelineError: one of its entries is empty.
    """
    header = header.strip()
    if not header:
        return _NONE
    if not all(entry.strip() for entry in header.split(",")):
        raise InvalidPipelineError("Invalid pipeline header: Pipeline header contains empty entry")
    first, _, rest = header.partition(",")
    return Pipeline(first.strip(), rest.strip())


def is_target(node_url: str) -> bool:
    """Whether a node URL names an object on a target, rather than a stage."""
    return bool(urlsplit(node_url).path)


def is_http_url(node_url: str) -> bool:
    """Whether a request can be sent to a node URL at all."""
    try:
        parts = urlsplit(node_url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def compose_etl_direct_put_url(
    node_url: str, host_target: str, path: str | bytes, etl_args: str
) -> str:
    """The URL to PUT an object to.

    Args:
        node_url: the next hop, as the pipeline names it.
        host_target: the target's URL, whose path is the prefix for other targets.
        path: the object's path, decoded; a stage gets it. Bytes where they may be no UTF-8.
        etl_args: replaces the node URL's own, unless it is empty.
    """
    node = urlsplit(node_url)
    if node.path:
        full_path = urlsplit(host_target).path + node.path
    else:
        full_path = "/" + quote(path, safe="/@") if path else ""
    query = node.query
    if etl_args:
        kept = [
            (name, value)
            for name, value in parse_qsl(query, keep_blank_values=True)
            if name != "etl_args"
        ]
        query = urlencode([*kept, ("etl_args", etl_args)])
    return urlunsplit(SplitResult(node.scheme, node.netloc, full_path, query, ""))


def compose_upstream_url(host_target: str, path: str | bytes, latest_version: str) -> str:
    """The URL to GET an object from its target; the path is one opaque segment of it."""
    url = f"{host_target}/{quote(path, safe='@')}"
    return f"{url}?{urlencode({'latest-ver': latest_version})}" if latest_version else url
