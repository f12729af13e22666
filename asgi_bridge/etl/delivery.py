# From the transform to the next hop.
#
# Rule 1: only a broken connection, and a 503 that says it is transient, are tried again, and only
#         where the object can be made again. AIStore is told to send a one-shot body once more.
# Rule 2: an upload is ended only for a transform that has completed. Everything else cuts it.
# Rule 3: the answer of the next hop is read while the upload goes on (see answers.py), and nothing
#         is tried again once it is being relayed.
"""Delivery: an object to the next hop, with retries."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Final

import aiohttp
import anyio

from asgi_bridge import ExchangeOver

from .answers import PUT_LENGTH, Answer, Relay, answer_of, length_header
from .client import Client
from .errors import RETRY_REASON, TRANSIENT, HopBroken, Refused, refused_for
from .pipeline import Pipeline, compose_etl_direct_put_url, is_http_url, is_target
from .settings import Settings
from .sinks import Sink, Upload, UploadPayload, WholePayload

_LONGEST_PAUSE: Final = 30.0


@dataclass(frozen=True, slots=True)
class Hop:
    """Where an object goes next.

    Attributes:
        url: what it is PUT to.
        headers: of that PUT.
        to_target: it is a target that stores it, and not a stage.
        name: the node URL, as the pipeline has it; there is no secret in it.
        trusted: it gets the bearer token.
    """

    url: str
    headers: dict[str, str]
    to_target: bool
    name: str
    trusted: bool


def hop_of(pipeline: Pipeline, settings: Settings, path: str | bytes, etl_args: str) -> Hop | None:
    """The next hop of a pipeline, None where that is back to the caller.

    Args:
        path: the object's, decoded; bytes where they may be no UTF-8.

    Raises:
        Refused: it is no URL of a host, status 500, which is what AIStore's own server gives.
    """
    if not pipeline.first:
        return None
    if not is_http_url(pipeline.first):
        raise Refused(500, f"Processing error: the next hop {pipeline.first!r} is no http URL")
    return Hop(
        compose_etl_direct_put_url(pipeline.first, settings.target_url, path, etl_args),
        {"Ais-Node-Url": pipeline.rest} if pipeline.rest else {},
        is_target(pipeline.first),
        pipeline.first,
        settings.trust.knows(pipeline.first),
    )


async def vouched_for(hop: Hop, settings: Settings) -> Hop:
    """The hop, once it is clear whether it is trusted; names may have to be looked up for that.

    Raises:
        Refused: it would be given the secret, and is not trusted with it, status 403.
    """
    if hop.trusted:
        return hop
    if await settings.trust.finds(hop.name):
        return replace(hop, trusted=True)
    if hop.to_target:
        raise Refused(
            403,
            f"{hop.name!r} is on no host that this ETL trusts with its secret; if it is a target "
            "of yours, name it in AIS_ETL_TRUSTED_HOSTS",
        )
    return hop


Attempt = Callable[[], Awaitable[Answer]]
Run = Callable[[Sink], Awaitable[None]]  # runs an inner exchange into a sink


async def deliver(
    attempt: Attempt, retries: int, *, replayable: bool, retrying: Callable[[str], None]
) -> Answer:
    """Try to deliver an object until that works, or need not be tried again.

    Args:
        attempt: makes the object and delivers it.
        retries: how many more times, for an object that can be made again.
        replayable: whether it can be.
        retrying: told why, each time before it is tried again.
    """
    failure = ""
    for number in range(retries + 1 if replayable else 1):
        if number:
            pause = min(2.0 ** (number - 1), _LONGEST_PAUSE)
            retrying(f"delivery {number} of {retries + 1} failed, again in {pause:g} s: {failure}")
            await anyio.sleep(pause)
        try:
            answer = await attempt()
        except HopBroken as error:
            failure = str(error)
            continue
        if not answer.transient or not replayable:
            return answer
        failure = (answer.body or b"").decode(errors="replace")
    if replayable:
        refused = Refused(502, f"Direct put failed after retries: {failure}")
    else:
        detail = f"Direct put bailed (one-shot body): {failure}"
        refused = Refused(503, detail, {RETRY_REASON: TRANSIENT})
    return answer_of(refused)


class Courier:
    """Makes single attempts to deliver to one hop.

    Args:
        client: makes the requests.
        hop: where to.
        relay: where the hop's answer goes.
    """

    def __init__(self, client: Client, hop: Hop, relay: Relay) -> None:
        self._client = client
        self._hop = hop
        self._relay = relay

    async def put_whole(self, content: bytes | memoryview, slice_bytes: int) -> Answer:
        """Deliver an object that is in memory.

        Raises:
            HopBroken: the connection failed.
        """
        payload = WholePayload(content, slice_bytes)
        sent = len(content)
        async with self._put(payload) as response:
            return await self._answer(response, lambda: (sent, True))

    async def put_stream(
        self,
        source: AbstractAsyncContextManager[Run],
    ) -> Answer:
        """Deliver what an inner exchange makes, while it makes it.

        Args:
            source: when entered, gives what runs the inner exchange into an upload.

        Raises:
            HopBroken: the connection to the next hop failed.
            Refused: the object could not be had.
        """
        outcome: Answer | Exception
        async with source as run, anyio.create_task_group() as tasks:
            upload = Upload()
            tasks.start_soon(self._feed, run, upload)
            try:
                outcome = await self._put_upload(upload)
            except Exception as error:  # kept, for a task group would wrap it up
                outcome = error
            tasks.cancel_scope.cancel()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def _feed(self, run: Run, upload: Upload) -> None:
        try:
            await run(upload)
        except Exception as error:
            upload.end(error)
        else:
            upload.end(None if upload.begun else ExchangeOver("the transform was ended"))

    async def _put_upload(self, upload: Upload) -> Answer:
        await upload.decided.wait()  # set by the first output, and by the exchange's end
        if (failed := failure_in(upload)) is not None:
            return failed
        if upload.refused:
            return refusal_from(upload)
        try:
            async with self._put(UploadPayload(upload)) as response:
                return await self._answer(response, lambda: (upload.sent, upload.complete))
        except HopBroken:
            if (failed := failure_in(upload)) is not None:
                return failed  # it is why the upload was cut
            raise

    def _put(self, payload: aiohttp.Payload) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        hop = self._hop
        return self._client.request(
            "PUT", hop.url, headers=hop.headers, body=payload, trusted=hop.trusted
        )

    async def _answer(
        self, response: aiohttp.ClientResponse, sent: Callable[[], tuple[int, bool]]
    ) -> Answer:
        """What to tell the caller for the next hop's response."""
        status = response.status
        if status == 204:
            length = response.headers.get(PUT_LENGTH, "0")
            if not length.isdigit():
                return answer_of(Refused(500, f"the next hop put {length!r} bytes"))
            return Answer(204, b"", length_header(int(length)))
        if status != 200:
            body = await Relay(None).take(response)
            reason = response.headers.get(RETRY_REASON)
            kept = {RETRY_REASON: reason} if status == 503 and reason is not None else {}
            said = (body or b"").decode(errors="replace")
            return Answer(status, body, kept, f"the next hop did not take the object: {said}")
        body = await self._relay.take(response)
        if body != b"" or not self._hop.to_target:
            return Answer(200, body)
        size, whole = sent()
        if not whole:
            raise HopBroken("the target answered before it had the whole object")
        return Answer(204, b"", length_header(size))


def refusal_from(sink: Sink) -> Answer:
    """The answer for an inner exchange that refused."""
    headers = {name.decode(): value.decode("latin-1") for name, value in sink.headers.items()}
    headers.pop("content-length", None)
    return Answer(sink.status, b"".join(sink.content), headers)


def failure_in(upload: Upload) -> Answer | None:
    """The answer for an inner exchange that has failed."""
    if upload.failure is None:
        return None
    refused = refused_for(upload.failure)
    return answer_of(refused if isinstance(refused, Refused) else Refused(503, str(refused)))
