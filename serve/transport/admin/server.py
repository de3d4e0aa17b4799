"""The admin port: the HTTP connection with a route table of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from serve.clock import Clock
from serve.config import AdminSettings, HttpSettings
from serve.gateway.details import Details
from serve.gateway.interface import DataPlane
from serve.gateway.overview import Overview, scrape_targets
from serve.protocol.status import DEFAULT, StatusTable
from serve.transport.http.exchange import Exchange
from serve.transport.http.handlers import answer, health_handler, index_handler, model_handler
from serve.transport.http.routes import Handler, Pattern, RouteTable, get, post
from serve.transport.http.server import HttpServer, error_counter

__all__ = ["create_admin_server"]

METRICS_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
MAX_BODY_BYTES = 64 * 1024
MAX_CONNECTIONS = 256


def create_admin_server(
    plane: DataPlane,
    settings: AdminSettings,
    clock: Clock,
    metrics: Callable[[], bytes],
    overview: Callable[[], Overview],
    status: StatusTable = DEFAULT,
    *,
    details: Callable[[str], Details],
) -> HttpServer:
    """``/metrics``, ``/healthz``, ``/readyz``, the index, ``/status``, ``/models/M`` and ``/sd``.

    ``metrics`` gives Prometheus text, and is called in a worker thread, so that a scrape of many
    series does not hold up the requests of the main port. ``overview`` is what ``/status`` tells,
    and from it ``/sd`` has the targets for Prometheus's HTTP service discovery. ``details`` is
    what ``/models/M`` tells of a model, and raises NotFound for one that is not known.
    """
    routes = RouteTable(
        [
            Pattern("/metrics", get(_metrics_handler(metrics))),
            Pattern("/healthz", get(health_handler("live", plane.server_live, status))),
            Pattern("/readyz", get(health_handler("ready", plane.server_ready, status))),
            Pattern("/status", get(answer(overview))),
            Pattern("/models/{model}", get(model_handler(lambda name, _: details(name)))),
            Pattern("/sd", get(_targets_handler(overview))),
            Pattern("/v2/repository/index", post(index_handler(plane))),
        ]
    )
    limits = HttpSettings(
        host=settings.host,
        port=settings.port,
        max_body_bytes=MAX_BODY_BYTES,
        max_connections=MAX_CONNECTIONS,
    )
    return HttpServer(
        routes,
        limits,
        clock,
        status=status,
        count_error=error_counter(plane),
        flag="--admin-port",
    )


def _metrics_handler(metrics: Callable[[], bytes]) -> Handler:
    def handle(exchange: Exchange) -> None:
        context = exchange.context
        work: asyncio.Future[bytes] = context.loop.run_in_executor(context.pool, metrics)
        exchange.wait(work, _reply)

    return handle


def _targets_handler(overview: Callable[[], Overview]) -> Handler:
    def handle(exchange: Exchange) -> None:
        assert exchange.connection is not None
        # Whoever asks has reached us at this address, whatever we would call it ourselves.
        own = exchange.connection.local_address()
        exchange.reply([msgspec.json.encode(scrape_targets(own, overview()))])

    return handle


def _reply(exchange: Exchange, text: bytes) -> None:
    exchange.reply([text], content_type=METRICS_TYPE)
