"""One server for the whole suite, and every test once over HTTP and once over gRPC."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.running import RunningApp, running
from tests.support.transports import GrpcTransport, HttpTransport, Transport
from tests.support.triton_repository import triton_repository


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    with running(triton_repository(tmp_path_factory.mktemp("models"))) as server:
        yield server


@pytest.fixture(scope="session", params=["http", "grpc"])
def client(request: pytest.FixtureRequest, server: RunningApp) -> Iterator[Transport]:
    transport: Transport
    if request.param == "http":
        transport = HttpTransport(server.http)
    else:
        transport = GrpcTransport(server.grpc)
    yield transport
    transport.close()


@pytest.fixture(scope="session")
def http(server: RunningApp) -> Iterator[HttpTransport]:
    transport = HttpTransport(server.http)
    yield transport
    transport.close()
