"""What people read files with reads a BodyReader, however the upload comes."""

import bz2
import csv
import gzip
import hashlib
import io
import json
import lzma
import pickle
import random
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from typing import IO, cast

import ijson  # type: ignore[import-untyped]  # no stubs
import pandas
import pyarrow.csv  # type: ignore[import-untyped]  # no stubs
import pytest
import zstandard
from lxml import etree
from PIL import Image

from asgi_bridge import Request, Response, SpooledReader

from .uploads import Cut, answer, answer_spooled

pytestmark = pytest.mark.anyio


# Decompressors.


async def test_gzip(cut: Cut) -> None:
    def unzip(request: Request, response: Response) -> bytes:
        with gzip.GzipFile(fileobj=request.body) as file:
            return file.read()

    assert await answer(unzip, gzip.compress(cut.rows()), cut) == cut.rows()


async def test_bz2(cut: Cut) -> None:
    def unzip(request: Request, response: Response) -> bytes:
        with bz2.open(request.body) as file:
            return file.read()

    assert await answer(unzip, bz2.compress(cut.rows()), cut) == cut.rows()


async def test_lzma(cut: Cut) -> None:
    def unzip(request: Request, response: Response) -> bytes:
        with lzma.open(cast("IO[bytes]", request.body)) as file:
            return b"".join(file)

    assert await answer(unzip, lzma.compress(cut.rows()), cut) == cut.rows()


async def test_zstandard(cut: Cut) -> None:
    def unzip(request: Request, response: Response) -> bytes:
        body = cast("IO[bytes]", request.body)
        with zstandard.ZstdDecompressor().stream_reader(body) as file:
            return file.read()

    assert await answer(unzip, zstandard.compress(cut.rows()), cut) == cut.rows()


# Archives.


@pytest.mark.parametrize("mode", ["w", "w:gz"])
async def test_tarfile_as_a_stream(cut: Cut, mode: str) -> None:
    members = {"rows.csv": cut.rows(), "empty": b"", "again.csv": cut.rows()[::-1]}
    upload = io.BytesIO()
    with tarfile.open(fileobj=upload, mode=mode) as archive:  # type: ignore[call-overload]  # any
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))

    def digests(request: Request, response: Response) -> str:
        found = {}
        with tarfile.open(fileobj=request.body, mode="r|*") as archive:
            for member in archive:
                content = archive.extractfile(member)
                assert content is not None, "all members are files"
                found[member.name] = hashlib.sha256(content.read()).hexdigest()
        return json.dumps(found)

    assert json.loads(await answer(digests, upload.getvalue(), cut)) == {
        name: hashlib.sha256(content).hexdigest() for name, content in members.items()
    }


async def test_zipfile_spooled(cut: Cut) -> None:
    members = {"rows.csv": cut.rows(), "empty": b"", "again.csv": cut.rows()[::-1]}
    upload = io.BytesIO()
    with zipfile.ZipFile(upload, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)

    def digests(reader: SpooledReader) -> bytes:
        with zipfile.ZipFile(reader) as archive:
            found = {
                name: hashlib.sha256(archive.read(name)).hexdigest()
                for name in reversed(archive.namelist())
            }
        return json.dumps(found).encode()

    assert json.loads(await answer_spooled(digests, upload.getvalue(), cut)) == {
        name: hashlib.sha256(content).hexdigest() for name, content in members.items()
    }


# Text and tables.


async def test_csv_over_a_text_wrapper(cut: Cut) -> None:
    def rows(request: Request, response: Response) -> str:
        return json.dumps(list(csv.reader(io.TextIOWrapper(request.body, newline=""))))

    expected = list(csv.reader(io.StringIO(cut.rows().decode(), newline="")))
    assert len(expected) > 10
    assert json.loads(await answer(rows, cut.rows(), cut)) == expected


async def test_pandas_whole(cut: Cut) -> None:
    def summary(request: Request, response: Response) -> str:
        frame = pandas.read_csv(request.body)
        return json.dumps([list(frame.columns), len(frame), int(frame["value"].sum())])

    frame = pandas.read_csv(io.BytesIO(cut.rows()))
    expected = [["number", "name", "value"], len(frame), int(frame["value"].sum())]
    assert json.loads(await answer(summary, cut.rows(), cut)) == expected


async def test_pandas_in_chunks(cut: Cut) -> None:
    size = cut.scale // 300

    def lengths_and_sum(request: Request, response: Response) -> str:
        with pandas.read_csv(request.body, chunksize=size) as frames:
            taken = [(len(frame), int(frame["value"].sum())) for frame in frames]
        return json.dumps(taken)

    with pandas.read_csv(io.BytesIO(cut.rows()), chunksize=size) as frames:
        expected = [[len(frame), int(frame["value"].sum())] for frame in frames]
    assert len(expected) > 1
    assert json.loads(await answer(lengths_and_sum, cut.rows(), cut)) == expected


async def test_pyarrow_csv(cut: Cut) -> None:
    def columns(request: Request, response: Response) -> str:
        with pyarrow.csv.open_csv(
            request.body, read_options=pyarrow.csv.ReadOptions(block_size=50_000)
        ) as reader:
            return json.dumps(reader.read_all().to_pydict())

    expected = pandas.read_csv(io.BytesIO(cut.rows())).to_dict("list")
    assert json.loads(await answer(columns, cut.rows(), cut)) == expected


# Trees.


def tree(cut: Cut) -> list[dict[str, object]]:
    noise = random.Random(2)
    return [{"number": n, "name": f"\u00fc{noise.random()}"} for n in range(cut.scale // 60)]


async def test_json(cut: Cut) -> None:
    def again(request: Request, response: Response) -> str:
        return json.dumps(json.load(request.body))

    assert json.loads(await answer(again, json.dumps(tree(cut)).encode(), cut)) == tree(cut)


async def test_ijson(cut: Cut) -> None:
    def again(request: Request, response: Response) -> str:
        return json.dumps(list(ijson.items(request.body, "item")))

    upload = json.dumps(tree(cut), ensure_ascii=False).encode()
    assert json.loads(await answer(again, upload, cut)) == tree(cut)


async def test_lxml_iterparse(cut: Cut) -> None:
    root = etree.Element("rows")
    for row in tree(cut):
        etree.SubElement(root, "row", number=str(row["number"])).text = str(row["name"])

    def rows(request: Request, response: Response) -> str:
        found = []
        for _, element in etree.iterparse(request.body, tag="row"):
            found.append({"number": int(element.attrib["number"]), "name": element.text})
            element.clear()
        return json.dumps(found)

    upload = etree.tostring(root, encoding="utf-8", xml_declaration=True)
    assert json.loads(await answer(rows, upload, cut)) == tree(cut)


async def test_pickles_in_a_row(cut: Cut) -> None:
    things = [tree(cut), "text", b"bytes" * (cut.scale // 10), {"a": 1.5}]
    upload = b"".join(pickle.dumps(thing) for thing in things)

    def load(request: Request, response: Response) -> bytes:
        loaded = [pickle.load(request.body) for _ in things]
        with pytest.raises(EOFError):
            pickle.load(request.body)
        return pickle.dumps(loaded)

    assert pickle.loads(await answer(load, upload, cut)) == things


# Pictures.


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
async def test_pillow_spooled(cut: Cut, kind: str) -> None:
    side = max(4, int((cut.scale / 3) ** 0.5))
    image = Image.frombytes("RGB", (side, side), random.Random(3).randbytes(3 * side * side))
    upload = io.BytesIO()
    image.save(upload, kind)

    def pixels(reader: SpooledReader) -> bytes:
        with Image.open(reader) as opened:
            return opened.tobytes()

    assert await answer_spooled(pixels, upload.getvalue(), cut) == image.tobytes()


# The bytes themselves.


async def test_file_digest(cut: Cut) -> None:
    def digest(request: Request, response: Response) -> str:
        return hashlib.file_digest(request.body, "sha256").hexdigest()

    expected = hashlib.sha256(cut.rows()).hexdigest().encode()
    assert await answer(digest, cut.rows(), cut) == expected


async def test_copyfileobj(cut: Cut) -> None:
    def copy(request: Request, response: Response) -> bytes:
        kept = io.BytesIO()
        shutil.copyfileobj(request.body, kept)
        return kept.getvalue()

    assert await answer(copy, cut.rows(), cut) == cut.rows()


async def test_a_buffered_reader_over_it(cut: Cut) -> None:
    """A bounded `readline` as the first call of all: with nothing buffered it must still wait."""

    def first_and_rest(request: Request, response: Response) -> bytes:
        reader = io.BufferedReader(request.body)
        return b"|".join([reader.readline(20), reader.readline(3), reader.read()])

    head, rest = b"number,name,value\n", cut.rows()[18:]
    expected = b"|".join([head, rest[:3], rest[3:]])
    assert await answer(first_and_rest, cut.rows(), cut) == expected


LINES: dict[str, Callable[[Request], list[bytes]]] = {
    "iteration": lambda request: list(request.body),
    "readlines": lambda request: request.body.readlines(),
    "readline": lambda request: list(iter(request.body.readline, b"")),
}


@pytest.mark.parametrize("lines", LINES.values(), ids=LINES)
async def test_lines(cut: Cut, lines: Callable[[Request], list[bytes]]) -> None:
    def sizes(request: Request, response: Response) -> str:
        return json.dumps([len(line) for line in lines(request)])

    expected = [len(line) for line in cut.rows().splitlines(keepends=True)]
    assert json.loads(await answer(sizes, cut.rows(), cut)) == expected
