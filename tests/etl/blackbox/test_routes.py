"""Which requests there are: contract 1.1, and 3.1 and 3.16 of its list of defects."""

import json
import threading
from collections.abc import Mapping
from typing import Any, Final

import pytest

from asgi_bridge.etl.testing import FakeTarget

from .pods import Pod

# What FastAPI keeps for itself.
SHADOWED: Final = ("docs", "redoc", "openapi.json", "docs/oauth2-redirect")
# What the wire says, and what the transform gets as path.
NAMES: Final[Mapping[str, str]] = {
    "/bck/obj": "bck/obj",
    "/bck/a%20b": "bck/a b",
    "/bck/a+b": "bck/a+b",
    "/bck/100%25": "bck/100%",
    "/bck/a%2520b": "bck/a%20b",
    "/bck/a%2Fb": "bck/a/b",
    "/bck/%23hash%3Fmark": "bck/#hash?mark",
    "/bck/%C3%A9%E4%B8%AD": "bck/é中",
    "/bck/a@b$c&d=e:f;g,h": "bck/a@b$c&d=e:f;g,h",
    "/ais%2F@%23%2Fbck%2Fobj": "ais/@#/bck/obj",
    "/bck/dir/": "bck/dir/",
    "/bck//double": "bck//double",
    "/a": "a",
}


def facts(body: bytes) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(body)
    return decoded


def test_health(pod: Pod) -> None:
    answer = pod.ais.request("GET", "/health")
    assert (answer.status, answer.body, answer.complete) == (200, b"Running", True)


def test_health_while_a_transform_works(pod: Pod) -> None:
    """3.1: transform() ran on the event loop, and /health waited for it."""
    push = threading.Thread(
        target=pod.ais.push, args=("b/o", b"abc"), kwargs={"args": "do:sleep:2"}
    )
    push.start()
    pod.until(lambda events: "sleeping" in events)
    answer = pod.ais.request("GET", "/health")
    assert answer.body == b"Running"
    assert push.is_alive(), "the answer came after the transform had ended"
    push.join()


def test_transforms_run_off_the_loop(pod: Pod) -> None:
    assert facts(pod.ais.push("b/o", b"abc", args="do:report").body)["on_loop"] is False


@pytest.mark.parametrize("method", ["HEAD", "POST", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods(pod: Pod, method: str) -> None:
    assert pod.ais.request(method, "/bck/obj").status == 405


def test_head_of_health(pod: Pod) -> None:
    assert pod.ais.request("HEAD", "/health").status == 405


@pytest.mark.parametrize("name", SHADOWED)
def test_names_that_fastapi_keeps_are_objects(pod: Pod, target: FakeTarget, name: str) -> None:
    """3.16: its pages came instead of the objects."""
    target.objects[name] = b"abc"
    answer = pod.ais.request("GET", f"/{name}")
    assert (answer.status, answer.body) == (200, b"ABC")


@pytest.mark.parametrize("name", [*SHADOWED, "health", "ws", "download"])
def test_objects_of_any_name_are_pushed(pod: Pod, name: str) -> None:
    answer = pod.ais.push(name, b"abc")
    assert (answer.status, answer.body) == (200, b"ABC")


def test_plain_get_of_ws_is_an_object(pod: Pod, target: FakeTarget) -> None:
    target.objects["ws"] = b"abc"
    assert pod.ais.request("GET", "/ws").body == b"ABC"


@pytest.mark.parametrize(("raw", "path"), NAMES.items())
def test_path_is_decoded_once(pod: Pod, raw: str, path: str) -> None:
    headers = [("content-length", "3")]
    answer = pod.ais.request("PUT", f"{raw}?etl_args=do:report", headers, b"abc")
    assert facts(answer.body)["path"] == path


@pytest.mark.parametrize("path", sorted({*NAMES.values()} - {"bck/dir/", "bck//double"}))
def test_source_is_one_opaque_segment(pod: Pod, target: FakeTarget, path: str) -> None:
    """The target takes exactly one segment after the secret."""
    target.objects[path] = b"abc"
    answer = pod.ais.pull(path)
    assert (answer.status, answer.body) == (200, b"ABC")
    (request,) = target.gets()
    assert request.raw_path.startswith("/v1/etl/_object/my-etl/s3cr3t/")
    assert request.raw_path.count("/") == 6
    assert request.path.endswith(path)


def test_at_sign_stays_in_the_source_url(pod: Pod, target: FakeTarget) -> None:
    target.objects["ais/@#/bck/obj"] = b"abc"
    pod.ais.pull("ais/@#/bck/obj")
    assert target.gets()[0].raw_path.endswith("/ais%2F@%23%2Fbck%2Fobj")


def test_latest_version_is_asked_of_the_target(pod: Pod, target: FakeTarget) -> None:
    """3.16: it was dropped on the way."""
    target.objects["ais/@#/bck/obj"] = b"abc"
    assert pod.ais.pull("ais/@#/bck/obj", latest=True).body == b"ABC"
    assert target.gets()[0].query == {"latest-ver": "true"}


def test_no_query_reaches_the_target_unasked(pod: Pod, target: FakeTarget) -> None:
    target.objects["ais/@#/bck/obj"] = b"abc"
    pod.ais.pull("ais/@#/bck/obj", args="x")
    assert target.gets()[0].query == {}


def test_headers_of_the_user_do_not_reach_the_target(pod: Pod, target: FakeTarget) -> None:
    """On hpull the user's own client speaks to the pod; its Range and Authorization are its own."""
    target.objects["ais/@#/bck/obj"] = b"abc"
    own = [("range", "bytes=0-0"), ("authorization", "Bearer user"), ("accept-encoding", "gzip")]
    answer = pod.ais.request("GET", "/ais%2F@%23%2Fbck%2Fobj", own)
    assert (answer.status, answer.body) == (200, b"ABC")
    (request,) = target.gets()
    assert request.header("range") is None
    assert request.header("authorization") == "Bearer t0ken"
