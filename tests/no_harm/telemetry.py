"""Applications that somebody reports on, and what was reported of each request.

These are in a process of their own, since Sentry and Elastic APM change Starlette for all of it.
Each reporter notes, under the request's key and "reported", what it would have sent away.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, Final, cast
from urllib.parse import parse_qs

os.environ.setdefault("DD_INSTRUMENTATION_TELEMETRY_ENABLED", "false")  # nothing is sent
os.environ.setdefault("DD_REMOTE_CONFIGURATION_ENABLED", "false")

import sentry_sdk
from ddtrace.contrib.asgi import TraceMiddleware
from ddtrace.trace import TraceFilter, tracer
from elasticapm import Client
from elasticapm.contrib.starlette import ElasticAPM
from fastapi import Depends, FastAPI, Request
from fastapi.responses import StreamingResponse
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from sentry_sdk.transport import Transport
from starlette.responses import Response
from starlette_exporter import PrometheusMiddleware, handle_metrics

from asgi_bridge import open_body
from asgi_bridge.types import ASGIApp, Receive, Scope, Send

from .departures import idle, session, ticking
from .forms import Form, around, in_all_forms, inside
from .notes import gate, note

NOWHERE: Final = "http://127.0.0.1:9"  # the port `discard`; nothing is sent to it


def keyed(url: object) -> str:
    """The key in a URL's query, or nobody's, for what is reported."""
    return parse_qs(str(url).partition("?")[2]).get("key", ["nobody"])[0] + "-reported"


class Unsent(Transport):
    """Notes Sentry's events."""

    def capture_envelope(self, envelope: Any) -> None:
        event = envelope.get_event()
        if event is not None:
            request = event.get("request", {})
            kinds = [each["type"] for each in event.get("exception", {}).get("values", [])]
            note(keyed("?" + request.get("query_string", "")), f"event {kinds}")


class Recording(Client):
    """Notes Elastic's errors and transactions."""

    def queue(self, event_type: str, data: dict[str, Any], flush: bool = False) -> None:
        url = data.get("context", {}).get("request", {}).get("url", {}).get("full", "")
        if event_type == "error":
            note(keyed(url), f"error {data['exception']['type']}")
        elif event_type == "transaction":
            note(keyed(url), f"{data['result']} {data['outcome']}")


class Noting(SpanExporter):
    """Notes OpenTelemetry's spans: the request's own, and what it had for children.

    A child that ends after its parent is noted where nobody expects one.
    """

    def __init__(self) -> None:
        self._children: dict[int, list[str]] = {}  # by trace, what has ended
        self._keys: dict[int, str] = {}  # by trace, once the request's own span has ended

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            context = span.get_span_context()
            assert context is not None
            if span.parent is None:
                self._end(context.trace_id, span)
            elif context.trace_id in self._keys:
                note(self._keys[context.trace_id], f"late {span.name}")
            else:
                name = span.name.rpartition(" ")[2]
                self._children.setdefault(context.trace_id, []).append(name)
        return SpanExportResult.SUCCESS

    def _end(self, trace: int, span: ReadableSpan) -> None:
        attributes = span.attributes or {}
        query = attributes.get("url.query") or attributes.get("http.url")
        self._keys[trace] = keyed(f"?{query}".replace("?http", "http"))
        note(self._keys[trace], f"{span.status.status_code.name} {len(span.events)} events")
        note(f"{self._keys[trace]}-children", " ".join(self._children.get(trace, [])))


class Traced(TraceFilter):
    """Notes Datadog's spans, and keeps them from being sent."""

    def process_trace(self, trace: list[Any]) -> None:
        for span in trace:
            if span.parent_id is None:
                url = span.get_tag("http.url")
                note(keyed(url), f"{span.get_tag('http.status_code')} error={span.error}")


def routed() -> FastAPI:
    """What a client can leave, and what reads a body."""
    app = FastAPI()

    async def read(request: Request) -> None:
        if "read" in request.query_params:
            await request.body()

    @app.api_route("/idle", methods=["GET", "POST"], response_model=None)
    async def idles(request: Request, key: Annotated[str, Depends(session)]) -> Response:
        await read(request)
        return StreamingResponse(idle(f"{key}-idle"), media_type="text/event-stream")

    @app.api_route("/ticking", methods=["GET", "POST"], response_model=None)
    async def ticks(request: Request, key: str) -> Response:
        await read(request)
        return StreamingResponse(ticking(f"{key}-ticking"), media_type="text/event-stream")

    @app.api_route("/late", methods=["GET", "POST"], response_model=None)
    async def late(request: Request, key: str) -> Response:
        await read(request)
        note(f"{key}-late", "waits")
        await gate(key).wait()
        return StreamingResponse(ticking(f"{key}-ticking"), media_type="text/event-stream")

    @app.get("/failing", response_model=None)
    async def fails(key: str) -> Response:
        async def generate() -> AsyncIterator[bytes]:
            yield b"tick"
            raise TimeoutError(key)

        return StreamingResponse(generate())

    @app.get("/hello")
    async def hello(key: str) -> str:
        return "hello"

    @app.get("/items/{item}")
    async def item(item: int) -> int:
        return item

    @app.post("/open")
    def opened(request: Request) -> dict[str, int]:
        return {"bytes": len(open_body(request).read())}

    @app.post("/open-async")
    async def opened_async(request: Request) -> dict[str, int]:
        return {"bytes": len(await asyncio.to_thread(open_body(request).read))}

    @app.post("/stream")
    async def stream(request: Request) -> dict[str, int]:
        return {"bytes": sum([len(chunk) async for chunk in request.stream()])}

    app.add_route("/metrics", handle_metrics)
    return app


def by_nobody(form: Form) -> ASGIApp:
    """For what the applications themselves do here."""
    app = routed()
    inside(app, form)
    return around(app, form)


def by_prometheus(form: Form) -> ASGIApp:
    """Counted by starlette_exporter, which is around the bridge that is inside."""
    app = routed()
    inside(app, form)
    app.add_middleware(PrometheusMiddleware, app_name=form, prefix=form, group_paths=True)
    return around(app, form)


def by_opentelemetry(form: Form) -> ASGIApp:
    """Traced by OpenTelemetry, which is around the bridge that is inside."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Noting()))
    app = routed()
    inside(app, form)
    app.add_middleware(OpenTelemetryMiddleware, tracer_provider=provider)
    return around(app, form)


def by_datadog(form: Form) -> ASGIApp:
    """Traced by Datadog, which is around the bridge that is inside."""
    app = routed()
    inside(app, form)
    app.add_middleware(TraceMiddleware)
    return around(app, form)


class UnderSentry:
    """Has a client of Sentry's own for the requests of one application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._client = sentry_sdk.Client(
            dsn=NOWHERE.replace("//", "//abc@") + "/1",
            transport=Unsent,
            auto_session_tracking=False,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with sentry_sdk.new_scope() as around:
            around.set_client(self._client)
            await self._app(scope, receive, send)


def by_sentry(form: Form) -> ASGIApp:
    """Watched by Sentry, which goes around all of Starlette."""
    app = routed()
    inside(app, form)
    return UnderSentry(around(app, form))


def by_elastic(form: Form) -> ASGIApp:
    """Watched by Elastic APM, which is around the bridge that is inside."""
    app = routed()
    inside(app, form)
    app.add_middleware(cast(Any, ElasticAPM), client=recording("off"))
    return around(app, form)


def by_elastic_with_bodies(form: Form) -> ASGIApp:
    """Watched by Elastic APM, which is inside the bridge, and reads each body before."""
    app = routed()
    app.add_middleware(cast(Any, ElasticAPM), client=recording("all"))
    inside(app, form)
    return around(app, form)


def recording(capture_body: str) -> Client:
    return Recording(
        {
            "SERVICE_NAME": "site",
            "SERVER_URL": NOWHERE,
            "DISABLE_SEND": True,
            "CENTRAL_CONFIG": False,
            "CLOUD_PROVIDER": False,
            "METRICS_INTERVAL": "0s",
            "CAPTURE_BODY": capture_body,
        }
    )


# It minds that there is more than one client in a process.
logging.getLogger("elasticapm").setLevel(logging.ERROR)
tracer.configure(trace_processors=[Traced()])

app: Final = in_all_forms(
    {
        "nobody": by_nobody,
        "prometheus": by_prometheus,
        "opentelemetry": by_opentelemetry,
        "datadog": by_datadog,
        "sentry": by_sentry,
        "elastic": by_elastic,
        "elastic-bodies": by_elastic_with_bodies,
    }
)
