"""One server for the whole suite, and every test once over HTTP and once over gRPC.

``PENSTOCK_CONFORMANCE_AT=HOST:PORT,HOST:PORT`` has it ask a server that runs already, at its HTTP
and its gRPC port, and serves ``triton_repository``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Protocol

import pytest

from tests.support.running import running
from tests.support.transports import GrpcTransport, HttpTransport, Transport
from tests.support.triton_repository import triton_repository


class Addresses(Protocol):
    """Where the server listens."""

    http: str
    grpc: str


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    if running_at := os.environ.get("PENSTOCK_CONFORMANCE_AT"):
        http, grpc = running_at.split(",")
        yield SimpleNamespace(http=http, grpc=grpc)
        return
    with running(triton_repository(tmp_path_factory.mktemp("models"))) as server:
        yield server


@pytest.fixture(scope="session", params=["http", "grpc"])
def client(request: pytest.FixtureRequest, server: Addresses) -> Iterator[Transport]:
    transport: Transport
    if request.param == "http":
        transport = HttpTransport(server.http)
    else:
        transport = GrpcTransport(server.grpc)
    yield transport
    transport.close()


@pytest.fixture(scope="session")
def http(server: Addresses) -> Iterator[HttpTransport]:
    transport = HttpTransport(server.http)
    yield transport
    transport.close()
