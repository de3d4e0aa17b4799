"""The admin port: the HTTP connection with a route table of its own."""

from __future__ import annotations

import asyncio
import importlib.metadata
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from serve.clock import Clock
from serve.config import AdminSettings, HttpSettings
from serve.errors import Code
from serve.gateway.details import Details
from serve.gateway.interface import DataPlane
from serve.gateway.operations import Operations
from serve.gateway.overview import Overview, scrape_targets
from serve.protocol.status import DEFAULT, StatusTable
from serve.transport.admin.endpoints import Endpoint, passing, route_table
from serve.transport.admin.guard import Access, Guard
from serve.transport.admin.keys import read_keys
from serve.transport.admin.openapi import openapi_document
from serve.transport.admin.traffic import traffic_endpoints
from serve.transport.http.exchange import Exchange
from serve.transport.http.handlers import (
    IndexRequest,
    answer,
    health_handler,
    index_handler,
    model_handler,
)
from serve.transport.http.routes import Handler
from serve.transport.http.server import HttpServer, error_counter

__all__ = ["admin_endpoints", "create_admin_server"]

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
    operations: Operations | None = None,
) -> HttpServer:
    """Metrics, probes, what is served, and operations on the traffic of models.

    ``metrics`` gives Prometheus text, and is called in a worker thread, so that a scrape of many
    series does not hold up the requests of the main port. ``overview`` is what ``/status`` tells,
    and from it ``/sd`` has the targets for Prometheus's HTTP service discovery. ``details`` is
    what ``/models/M`` tells of a model, and raises NotFound for one that is not known. Without
    ``operations`` nothing can be changed.

    Raises:
        RepositoryError: the file of keys cannot be used.
    """
    keys = None if settings.keys_file is None else read_keys(settings.keys_file)
    guard = Guard(settings.host, keys)
    endpoints = admin_endpoints(plane, metrics, overview, details, operations, status)
    endpoints.append(_description(endpoints, guard))
    limits = HttpSettings(
        host=settings.host,
        port=settings.port,
        max_body_bytes=MAX_BODY_BYTES,
        max_connections=MAX_CONNECTIONS,
    )
    return HttpServer(
        route_table(endpoints, guard),
        limits,
        clock,
        status=replace(status, http={**status.http, Code.ALREADY_EXISTS: 409}),
        count_error=error_counter(plane),
        flag="--admin-port",
        body_limit="the limit of the admin port; nothing that it takes is longer",
    )


def admin_endpoints(
    plane: DataPlane,
    metrics: Callable[[], bytes],
    overview: Callable[[], Overview],
    details: Callable[[str], Details],
    operations: Operations | None,
    status: StatusTable = DEFAULT,
) -> list[Endpoint]:
    """All endpoints but that of their description; see ``create_admin_server``."""

    def probe(path: str, name: str, about: str, handler: Handler) -> Endpoint:
        return Endpoint("GET", path, name, about, passing(handler), Access.OPEN, answer=dict)

    live = health_handler("live", plane.server_live, status)
    ready = health_handler("ready", plane.server_ready, status)
    return [
        Endpoint(
            "GET",
            "/metrics",
            "metrics",
            "Metrics in the text format of Prometheus.",
            passing(_metrics_handler(metrics)),
            Access.OPEN,
            text=True,
        ),
        probe("/healthz", "healthz", "Whether the server is alive; 503 if not.", live),
        probe("/readyz", "readyz", "Whether it can be sent requests; 503 if not.", ready),
        Endpoint(
            "GET",
            "/sd",
            "service_discovery",
            "Targets for Prometheus's HTTP service discovery.",
            passing(_targets_handler(overview)),
            Access.OPEN,
            answer=list[dict[str, Any]],
        ),
        Endpoint(
            "GET",
            "/status",
            "status",
            "Every version of every model: its state, and how it fares.",
            passing(answer(overview)),
            answer=Overview,
        ),
        Endpoint(
            "POST",
            "/v2/repository/index",
            "index",
            "The models of the repository, as the protocol tells them.",
            passing(index_handler(plane)),
            body=IndexRequest,
            answer=list[dict[str, Any]],
        ),
        Endpoint(
            "GET",
            "/models/{model}",
            "model",
            "What each version of a model is: labels, lineage, metrics, profile.",
            passing(model_handler(lambda name, _: details(name))),
            answer=Details,
        ),
        *(traffic_endpoints(operations) if operations is not None else ()),
    ]


def _description(endpoints: list[Endpoint], guard: Guard) -> Endpoint:
    """``/openapi.json``, which describes itself too."""

    def act(exchange: Exchange, who: str) -> None:
        exchange.reply([text])

    own = Endpoint("GET", "/openapi.json", "openapi", "This description.", act, answer=dict)
    version = importlib.metadata.version("penstock")
    document = openapi_document([*endpoints, own], version, asks_for_keys=guard.asks_for_keys)
    text = msgspec.json.encode(document)
    return own


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
