"""The admin port: metrics, probes, the index, and nothing else."""

from __future__ import annotations

import asyncio
import threading

import msgspec
import pytest

from serve.clock import monotonic_ns
from serve.config import AdminSettings
from serve.errors import NotFound
from serve.gateway.details import Details
from serve.gateway.overview import Member, Overview, Replicas, make_overview
from serve.monitoring.metrics import ServerMetrics
from serve.transport.admin import create_admin_server
from tests.support.http import FakePlane, Reply, get, parse_replies, post

OVERVIEW = make_overview(
    "test",
    True,
    [{"name": "echo", "version": "1", "state": "READY", "reason": ""}],
    ServerMetrics(),
    {},
    {
        ("echo", "1"): Replicas(
            least=1,
            most=2,
            ready=1,
            members=(
                Member(name="a", state="ready", admin="10.0.0.1:9001", node="n1"),
                Member(name="b", state="down"),
            ),
        )
    },
)


def overview() -> Overview:
    return OVERVIEW


def details(name: str) -> Details:
    if name != "echo":
        raise NotFound("Request for unknown model")
    return Details(name=name, owner="us")


async def ask(plane: FakePlane, request: bytes, metrics=lambda: b"up 1\n") -> Reply:
    server = create_admin_server(
        plane, AdminSettings(port=0), monotonic_ns, metrics, overview, details=details
    )
    await server.start()
    reply = await ask_at(server.port, request)
    await server.stop(1)
    return reply


async def ask_at(port: int, request: bytes) -> Reply:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    (reply,) = parse_replies(await reader.read())
    writer.close()
    await writer.wait_closed()
    return reply


def test_admin_listens_on_loopback_unless_told_otherwise():
    assert AdminSettings().host == "127.0.0.1"


async def test_metrics_are_prometheus_text():
    reply = await ask(FakePlane(), get("/metrics", Connection="close"))
    assert (reply.status, reply.body) == (200, b"up 1\n")
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


async def test_metrics_are_collected_off_the_loop():
    seen = []

    def metrics() -> bytes:
        seen.append(threading.current_thread())
        return b""

    await ask(FakePlane(), get("/metrics", Connection="close"), metrics)
    assert seen[0] is not threading.main_thread()


async def test_fault_in_the_metrics_is_an_internal_error(caplog):
    def metrics() -> bytes:
        raise ValueError("broken collector")

    reply = await ask(FakePlane(), get("/metrics", Connection="close"), metrics)
    assert reply.status == 500
    assert "broken collector" in caplog.text


@pytest.mark.parametrize(("ready", "status"), [(True, 200), (False, 503)])
async def test_probes_follow_the_plane(ready, status):
    plane = FakePlane()
    plane.ready = ready
    assert (await ask(plane, get("/readyz", Connection="close"))).status == status
    assert (await ask(plane, get("/healthz", Connection="close"))).status == 200


async def test_index_is_served():
    reply = await ask(FakePlane(), post(b"", "/v2/repository/index", Connection="close"))
    assert reply.json[0]["name"] == "echo"


async def test_status_is_the_overview():
    reply = await ask(FakePlane(), get("/status", Connection="close"))
    assert reply.headers["content-type"] == "application/json"
    assert msgspec.convert(reply.json, Overview) == OVERVIEW


async def test_model_is_told_in_detail():
    reply = await ask(FakePlane(), get("/models/echo", Connection="close"))
    assert msgspec.convert(reply.json, Details) == Details(name="echo", owner="us")
    assert (await ask(FakePlane(), get("/models/nobody", Connection="close"))).status == 404


async def test_discovery_names_this_process_as_it_was_reached_and_engines_with_metrics():
    server = create_admin_server(
        FakePlane(), AdminSettings(port=0), monotonic_ns, lambda: b"", overview, details=details
    )
    await server.start()
    reply = await ask_at(server.port, get("/sd", Connection="close"))
    await server.stop(1)
    assert reply.headers["content-type"] == "application/json"
    assert reply.json == [
        {"targets": [f"127.0.0.1:{server.port}"], "labels": {"role": "gateway"}},
        {"targets": ["10.0.0.1:9001"], "labels": {"role": "engine", "node": "n1"}},
    ]


async def test_inference_is_not_served():
    request = post(b"{}", "/v2/models/echo/infer", Connection="close")
    assert (await ask(FakePlane(), request)).status == 404


async def test_taken_port_names_the_flag():
    listener = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    server = create_admin_server(
        FakePlane(), AdminSettings(port=port), monotonic_ns, bytes, overview, details=details
    )
    with pytest.raises(OSError, match="--admin-port"):
        await server.start()
    listener.close()
    await listener.wait_closed()
