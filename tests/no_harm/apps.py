"""What the servers run for all tests of this directory but those of telemetry."""

from typing import Final

from . import bodies, departures, failures, scopes, senders
from .forms import in_all_forms

app: Final = in_all_forms(
    {
        "departures": departures.on_fastapi,
        "departures-http": departures.in_http_middleware,
        "failing": failures.on_starlette,
        "failing-fastapi": failures.on_fastapi,
        "full": failures.on_full_disk,
        "bodies": bodies.on_fastapi,
        "bodies-http": bodies.in_http_middleware,
        "litestar": bodies.on_litestar,
        "quart": bodies.on_quart,
        "opening": bodies.with_nothing_between,
        "opening-gunzip": bodies.behind_gunzip,
        "opening-limit": bodies.behind_a_limit,
        "opening-reader": bodies.behind_a_reader,
        "opening-repeater": bodies.behind_a_repeater,
        "opening-passing": bodies.behind_http_middleware,
        "listening": bodies.listening,
        "halved": bodies.halved,
        "halved-handler": bodies.halved_handler,
        "bare": senders.on_bare,
        "promised": senders.promised,
        "a2wsgi": senders.on_a2wsgi,
        "starlettes-wsgi": senders.on_starlettes_wsgi,
        "watched": scopes.watched,
        "varying": scopes.varying,
        "proxied": scopes.proxied,
        "subscribing": scopes.subscribing,
        "held-for-a-time": scopes.held_for_a_time,
        "uploads": scopes.uploads,
        "slow-readers": senders.on_slow_readers,
        "bare-full": failures.bare_on_full_disk,
    }
)
