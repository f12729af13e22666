"""The README's Python blocks run, and what they define does what the README says."""

import gzip
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest

from asgi_bridge import BridgeMiddleware, HandlerApp
from asgi_bridge.testing import Exchange, request

from .prose import README, names_by_heading


def tar_of(*names: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return out.getvalue()


def zip_of(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def unzipped(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def same(answer: bytes) -> bytes:
    return answer


# What stands below which heading under which name: path, body, what to make of the answer, result.
Case = tuple[str, bytes, Callable[[bytes], object], object]
CASES: Final[Mapping[tuple[str, str], list[Case]]] = {
    ("asgi_bridge", "app"): [("/echo", b"aabbcc", same, b"aabbcc")],
    ("asgi_bridge", "compress"): [("/", b"aabbcc", gzip.decompress, b"aabbcc")],
    ("A blocking function as an application", "upper"): [("/", b"abc", same, b"ABC")],
    ("A blocking function as an application", "digest"): [
        ("/", b"abc", same, hashlib.sha256(b"abc").hexdigest().encode())
    ],
    ("The reader", "rows"): [
        ("/", b"name,size\nape,3\n", json.loads, {"name": "ape", "size": "3"})
    ],
    ("The reader", "names"): [("/", tar_of("one", "two"), same, b"one\ntwo\n")],
    ("The writer", "zipped"): [("/", b"abc", unzipped, {"body": b"abc"})],
    ("Any application: BridgeMiddleware and open_body", "app"): [
        ("/upper", b"abc", same, b"ABC"),
        ("/members", zip_of(one=b"1", two=b"2"), json.loads, ["one", "two"]),
    ],
    ("Blocking iterables in async code", "app"): [("/", b"abc\ndef\n", same, b"cba\nfed\n")],
    ("Tests for your code", "upper"): [("/", b"abc", same, b"ABC")],
}


@pytest.fixture(scope="module")
def names() -> Mapping[str, Mapping[str, Any]]:
    return names_by_heading(README)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("where", "case"),
    [(where, case) for where, cases in CASES.items() for case in cases],
    ids=lambda each: each[1] if isinstance(each[1], str) else each[0],
)
async def test_application(
    where: tuple[str, str], case: Case, names: Mapping[str, Mapping[str, Any]]
) -> None:
    heading, name = where
    path, body, decode, expected = case
    script = [request(body[:3], more_body=True), request(body[3:])]
    exchange = Exchange(names[heading][name], path=path, receive=script)
    await exchange.run()
    assert exchange.status == 200
    assert exchange.complete
    assert decode(exchange.body) == expected


@pytest.mark.anyio
async def test_the_cure_answers_each_chunk_as_it_comes(
    names: Mapping[str, Mapping[str, Any]],
) -> None:
    async with Exchange(names["asgi_bridge"]["app"], path="/echo") as exchange:
        for chunk in (b"aa", b"bb", b"cc"):
            await exchange.send_chunk(chunk)
            assert await exchange.expect_chunk() == chunk
        await exchange.end_body()
        await exchange.expect_end()


@pytest.mark.anyio
async def test_wrong_method_is_refused(names: Mapping[str, Mapping[str, Any]]) -> None:
    digest = names["A blocking function as an application"]["digest"]
    exchange = Exchange(digest, method="GET")
    await exchange.run()
    assert exchange.status == 405
    assert (b"allow", b"PUT") in exchange.headers


@pytest.mark.anyio
async def test_example_of_a_test_passes(names: Mapping[str, Mapping[str, Any]]) -> None:
    await names["Tests for your code"]["test_upper_answers_each_chunk_before_the_next"]()


def test_everything_that_is_defined_is_driven(names: Mapping[str, Mapping[str, Any]]) -> None:
    defined = {
        (heading, name)
        for heading, space in names.items()
        for name, each in space.items()
        if isinstance(each, BridgeMiddleware | HandlerApp) or name == "app"
    }
    assert defined == CASES.keys()


def test_every_test_of_the_readme_is_run_here(
    names: Mapping[str, Mapping[str, Any]],
) -> None:
    tests = [name for space in names.values() for name in space if name.startswith("test_")]
    assert tests == ["test_upper_answers_each_chunk_before_the_next"]
