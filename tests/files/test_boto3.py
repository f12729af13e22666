"""boto3 uploads a BodyReader to S3, in parts where it is large, without a copy on disk."""

import contextlib
import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from mypy_boto3_s3 import S3Client

from asgi_bridge import ClientDisconnected, Request, Response, WorkerPool, handler
from asgi_bridge.testing import DISCONNECT, AppState, Exchange, Outcome
from asgi_bridge.testing import request as request_message

from .fake_s3 import FakeS3, fake_s3
from .uploads import TIMEOUT, Cut, answer

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024


@pytest.fixture
def s3() -> Iterator[FakeS3]:
    with fake_s3() as server:
        yield server


@pytest.fixture
def client(s3: FakeS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Client]:
    # nothing of the machine's own configuration, and nothing beyond this machine
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "absent"))
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=s3.url,
        region_name="us-east-1",
        aws_access_key_id="dummy",
        aws_secret_access_key="dummy",
        config=Config(
            connect_timeout=10,
            read_timeout=30,
            retries={"total_max_attempts": 1},
            proxies={},
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
    with contextlib.closing(client):
        yield client


@pytest.mark.parametrize("threads", [True, False])
async def test_a_large_body_goes_in_parts(s3: FakeS3, client: S3Client, threads: bool) -> None:
    upload = random.Random(4).randbytes(12 * MIB)

    def store(request: Request, response: Response) -> bytes:
        client.upload_fileobj(
            cast("IO[bytes]", request.body),
            "bucket",
            "large",
            Config=TransferConfig(use_threads=threads),
        )
        return b"stored"

    assert await answer(store, upload, Cut(65_536, len(upload))) == b"stored"
    digests = {path: hashlib.sha256(kept).digest() for path, kept in s3.objects.items()}
    assert digests == {"/bucket/large": hashlib.sha256(upload).digest()}
    assert s3.part_sizes == {"/bucket/large": [8 * MIB, 4 * MIB]}


async def test_a_small_body_goes_whole(s3: FakeS3, client: S3Client, cut: Cut) -> None:
    def store(request: Request, response: Response) -> bytes:
        client.upload_fileobj(cast("IO[bytes]", request.body), "bucket", "small")
        return b"stored"

    assert await answer(store, cut.rows(), cut) == b"stored"
    assert (s3.objects, s3.part_sizes) == ({"/bucket/small": cut.rows()}, {})


async def test_a_cut_upload_leaves_no_object(s3: FakeS3, client: S3Client) -> None:
    raised: list[BaseException] = []

    def store(request: Request, response: Response) -> bytes:
        try:
            client.upload_fileobj(cast("IO[bytes]", request.body), "bucket", "cut")
        except BaseException as error:
            raised.append(error)
            raise
        return b"stored"

    async with contextlib.aclosing(WorkerPool(size=1)) as pool:
        pieces = [request_message(b"a" * MIB, more_body=True)] * 9
        app = handler(store, pool=pool)
        served = Exchange(app, receive=[*pieces, DISCONNECT], timeout=TIMEOUT)
        assert await served.run() == []
    assert [type(error) for error in raised] == [ClientDisconnected]
    assert served.outcome == Outcome(AppState.RETURNED)
    assert (s3.objects, s3.uploads) == ({}, {})
