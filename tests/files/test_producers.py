"""What people write files with writes to a Response."""

import contextlib
import csv
import gzip
import io
import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable

import pyarrow  # type: ignore[import-untyped]  # no stubs
import pytest

from asgi_bridge import HTTPError, Request, Response, WorkerPool, handler
from asgi_bridge.testing import Exchange

from .uploads import TIMEOUT, Cut, answer

pytestmark = pytest.mark.anyio


async def test_tarfile_as_a_stream(cut: Cut) -> None:
    def pack(request: Request, response: Response) -> None:
        content = request.body.read()
        with tarfile.open(fileobj=response, mode="w|gz") as archive:
            for name in ("one.csv", "two.csv"):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))

    packed = io.BytesIO(await answer(pack, cut.rows(), cut))
    with tarfile.open(fileobj=packed, mode="r:gz") as archive:
        assert archive.getnames() == ["one.csv", "two.csv"]
        files = [archive.extractfile(name) for name in archive.getnames()]
        assert [file.read() for file in files if file] == [cut.rows()] * 2


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
async def test_zipfile(cut: Cut, compression: int) -> None:
    def pack(request: Request, response: Response) -> None:
        with zipfile.ZipFile(response, "w", compression) as archive:
            with archive.open("streamed.csv", "w") as member:
                shutil.copyfileobj(request.body, member)
            archive.writestr("note.txt", "a note")

    packed = io.BytesIO(await answer(pack, cut.rows(), cut))
    with zipfile.ZipFile(packed) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == {
            "streamed.csv": cut.rows(),
            "note.txt": b"a note",
        }


async def test_gzip(cut: Cut) -> None:
    def pack(request: Request, response: Response) -> None:
        with gzip.GzipFile(fileobj=response, mode="wb") as file:
            shutil.copyfileobj(request.body, file)

    assert gzip.decompress(await answer(pack, cut.rows(), cut)) == cut.rows()


async def test_csv_over_a_text_wrapper(cut: Cut) -> None:
    def columns_swapped(request: Request, response: Response) -> None:
        with io.TextIOWrapper(response, newline="") as text:
            writer = csv.writer(text)
            for row in csv.reader(io.TextIOWrapper(request.body, newline="")):
                writer.writerow(reversed(row))

    made = await answer(columns_swapped, cut.rows(), cut)
    rows = [row[::-1] for row in csv.reader(io.StringIO(made.decode(), newline=""))]
    assert rows == list(csv.reader(io.StringIO(cut.rows().decode(), newline="")))


async def test_a_text_wrapper_that_nobody_closes(cut: Cut) -> None:
    """It is dropped with the function's frame, and writes out what it holds before the end."""

    def numbers(request: Request, response: Response) -> None:
        json.dump(list(range(1000)), io.TextIOWrapper(response, encoding="utf-8"))

    assert json.loads(await answer(numbers, b"", cut)) == list(range(1000))


async def test_pyarrow_ipc_stream(cut: Cut) -> None:
    def columns(request: Request, response: Response) -> None:
        schema = pyarrow.schema([("line", pyarrow.binary())])
        with pyarrow.ipc.new_stream(response, schema) as writer:
            while lines := request.body.readlines(10_000):
                writer.write_batch(pyarrow.record_batch([lines], schema=schema))

    made = await answer(columns, cut.rows(), cut)
    with pyarrow.ipc.open_stream(made) as reader:
        assert b"".join(reader.read_all()["line"].to_pylist()) == cut.rows()


async def test_copyfileobj(cut: Cut) -> None:
    def copy(request: Request, response: Response) -> None:
        shutil.copyfileobj(request.body, response)

    assert await answer(copy, cut.rows(), cut) == cut.rows()


async def test_a_buffered_writer_over_it(cut: Cut) -> None:
    """Its buffer is used again after each write, so what the response keeps must be a copy."""

    def lines(request: Request, response: Response) -> None:
        with io.BufferedWriter(response, 100) as file:
            file.writelines(request.body)

    assert await answer(lines, cut.rows(), cut) == cut.rows()


CLOSERS: dict[str, Callable[[Response], io.BufferedIOBase]] = {
    "response": lambda response: response,
    "buffered writer": io.BufferedWriter,
}


@pytest.mark.parametrize("closer", CLOSERS.values(), ids=CLOSERS)
async def test_closing_on_the_way_out_keeps_the_failures_status(
    closer: Callable[[Response], io.BufferedIOBase],
) -> None:
    def fail(request: Request, response: Response) -> None:
        with closer(response):
            raise HTTPError(400, "no")

    async with contextlib.aclosing(WorkerPool(size=1)) as pool:
        exchange = Exchange(handler(fail, pool=pool), timeout=TIMEOUT)
        await exchange.run()
    assert (exchange.status, exchange.body, exchange.complete) == (400, b"no", True)
