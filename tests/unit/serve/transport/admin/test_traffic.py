"""Requests become operations, and what is wrong with one is said."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest

from serve.clock import monotonic_ns
from serve.config import AdminSettings
from serve.errors import AlreadyExists, Unavailable
from serve.gateway.details import Details
from serve.gateway.overview import make_overview
from serve.monitoring.metrics import ServerMetrics
from serve.traffic import operations as ops
from serve.transport.admin import create_admin_server
from serve.transport.admin.traffic import CHANGES
from serve.transport.http.server import HttpServer
from tests.support.http import FakePlane, Reply, parse_replies
from tests.support.operations import LINE, REPORT, STATE, FakeOperations

LABEL = "/models/fraud/labels/canary"
ME = "anonymous@127.0.0.1"
SPLIT = {"stable": 95.0, "4": 5.0}
PLAN = {"to": 4, "steps": [1, 100], "hold_s": 9, "guards": {"max_p99_ratio": 2}}


def request(method: str, path: str, body: Any = None, **headers: str) -> bytes:
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(data)}"]
    lines += ["Connection: close", "Content-Type: application/json"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + data


def server_of(operations: FakeOperations) -> HttpServer:
    overview = make_overview("s", True, [], ServerMetrics(), {}, None)
    return create_admin_server(
        FakePlane(),
        AdminSettings(port=0),
        monotonic_ns,
        bytes,
        lambda: overview,
        details=lambda name: Details(name=name),
        operations=operations,
    )


async def ask(operations: FakeOperations, *asked: Any, **headers: str) -> Reply:
    server = server_of(operations)
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request(*asked, **headers))
    (reply,) = parse_replies(await reader.read())
    writer.close()
    await writer.wait_closed()
    await server.stop(1)
    return reply


@pytest.mark.parametrize(
    ("method", "path", "body", "operation"),
    [
        ("PUT", "/traffic", {"traffic": {"salt": "x"}}, ops.SetTraffic(traffic={"salt": "x"})),
        ("DELETE", "/traffic", None, ops.ClearTraffic()),
        ("PUT", "/split", {"split": SPLIT}, ops.SetSplit(split=SPLIT)),
        ("PUT", "/shadow", {"shadow": {"to": 4}}, ops.SetShadow(shadow={"to": 4})),
        ("DELETE", "/shadow", None, ops.SetShadow(shadow=None)),
        ("PUT", "/labels/canary", {"version": 4}, ops.SetLabel(label="canary", version=4)),
        ("DELETE", "/labels/canary", None, ops.RemoveLabel(label="canary")),
        ("POST", "/rollout", {"to": 4}, ops.StartRollout(to=4)),
        ("POST", "/rollout", PLAN, msgspec.convert(PLAN, ops.StartRollout)),
        ("POST", "/rollout/pause", {}, ops.PauseRollout()),
        ("POST", "/rollout/resume", None, ops.ResumeRollout()),
        ("POST", "/rollout/advance", {}, ops.AdvanceRollout()),
        ("POST", "/rollback", {}, ops.Rollback()),
    ],
)  # fmt: skip
async def test_request_is_an_operation(method, path, body, operation):
    operations = FakeOperations()
    reply = await ask(operations, method, f"/models/fraud{path}", body)
    assert reply.status == 200, reply.body
    assert operations.calls == [(operation, ME, "")]
    assert msgspec.convert(reply.json, type(STATE)) == STATE


def test_every_operation_has_an_endpoint():
    assert {kind for _, _, kind, _ in CHANGES} == set(ops.Operation.__args__)


async def test_who_and_why_come_along():
    operations = FakeOperations()
    path, body = "/models/fraud/rollback", {"why": "it lies"}
    await ask(operations, "POST", path, body, Penstock_User="zoë")
    assert operations.calls == [(ops.Rollback(), "zoë@127.0.0.1", "it lies")]


async def test_report_and_audit_are_told():
    operations = FakeOperations()
    reply = await ask(operations, "GET", "/models/fraud/traffic")
    assert msgspec.convert(reply.json, type(REPORT)) == REPORT
    reply = await ask(operations, "GET", "/audit?model=fraud%20x&limit=5&before=9")
    assert msgspec.convert(reply.json, list[type(LINE)]) == [LINE]
    await ask(operations, "GET", "/audit")
    assert operations.calls[1:] == [("audit", "fraud x", 5, 9), ("audit", "", 100, 0)]


@pytest.mark.parametrize("what", ["load", "unload"])
async def test_models_are_loaded_and_unloaded(what, caplog):
    operations = FakeOperations()
    with caplog.at_level("INFO", "penstock.admin"):
        reply = await ask(operations, "POST", f"/models/fraud/{what}", {"why": "new"})
    assert (reply.status, reply.json) == (200, {})
    assert operations.calls == [(what,)]
    assert f"{ME} asks: {what} of 'fraud' ('new')" in caplog.text


@pytest.mark.parametrize(
    ("refusal", "status"), [(AlreadyExists("under way"), 409), (Unavailable("full disk"), 503)]
)
async def test_refusal_is_the_answer(refusal, status):
    reply = await ask(FakeOperations(refusal), "POST", "/models/fraud/rollback", {})
    assert (reply.status, reply.json) == (status, {"error": str(refusal)})


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("PUT", "/models/fraud/split", b'{"split": {"stable": NaN}}', "JSON is malformed"),
        ("PUT", "/models/fraud/split", b'{"split": {"stable": 1e999}}', "Number out of range"),
        ("PUT", "/models/fraud/split", {"split": {"stable": "a"}}, "Expected `float`"),
        ("PUT", "/models/fraud/split", {"split": [1]}, "Expected `object`"),
        ("PUT", "/models/fraud/split", {}, "missing required field `split`"),
        ("PUT", "/models/fraud/split", {"split": {}, "x": 1}, "unknown field `x`"),
        ("PUT", "/models/fraud/split", b"[" * 20_000, "the body is not as this path expects it"),
        ("PUT", "/models/fraud/split", b'{"split": {"\xff": 1}}', "the body is not"),
        ("PUT", LABEL, {"version": 10**30}, "`int` <= 1000000000000000000"),
        ("PUT", LABEL, b'{"version": %b}' % (b"9" * 5000), "out of range"),
        ("PUT", LABEL, {"version": 1.5}, "Expected `int`"),
        ("PUT", LABEL, {"version": True}, "Expected `int`"),
        ("PUT", LABEL, {"version": -1}, "`int` >= 0"),
        ("POST", "/models/fraud/rollback", {"why": "a" * 1001}, "length <= 1000"),
        ("POST", "/models/fraud/rollback", b'{"why": "\\ud800"}', "the body is not"),
        ("GET", "/audit?limt=3", None, "there are model, limit, before"),
        ("GET", "/audit?limit=3&limit=4", None, "is given twice"),
        ("GET", "/audit?limit=-1", None, "limit should be a whole number, is '-1'"),
        ("GET", f"/audit?limit={10**40}", None, "should be a whole number"),
        ("GET", "/audit?model=%FF", None, "the query should be UTF-8"),
        ("GET", "/audit?" + "model=&" * 20, None, "of 16 parameters at most"),
    ],
)
async def test_what_is_wrong_with_a_request_is_said(method, path, body, said):
    operations = FakeOperations()
    reply = await ask(operations, method, path, body)
    assert reply.status == 400, reply.body
    assert said in reply.json["error"]
    assert operations.calls == []


async def test_body_over_the_limit_is_refused_before_it_is_read():
    reply = await ask(FakeOperations(), "PUT", "/models/fraud/traffic", b" " * 100_000)
    assert reply.status == 413
    assert "65536 bytes (the limit of the admin port" in reply.json["error"]


async def test_method_that_a_path_has_not_is_told_those_it_has():
    reply = await ask(FakeOperations(), "GET", "/models/fraud/split")
    assert (reply.status, reply.headers["allow"]) == (405, "PUT")


@pytest.mark.parametrize("model", ["..%2F..%2Fetc", "%00", "na%C3%AFve", "a" * 300])
async def test_model_that_is_none_is_not_found(model):
    reply = await ask(FakeOperations(), "POST", f"/models/{model}/rollback", {})
    assert reply.status == 404
    assert "unknown model" in reply.json["error"]


@pytest.mark.parametrize("path", ["/models//rollback", "/models/../audit/", "/models/a/b/c/d/e"])
async def test_path_that_is_none_is_not_found(path):
    assert (await ask(FakeOperations(), "POST", path, {})).status == 404


async def test_change_goes_on_when_the_client_hangs_up():
    class Slow(FakeOperations):
        def __init__(self) -> None:
            super().__init__()
            self.begun, self.go_on, self.done = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def load(self, model: str, *, who: str, why: str = "") -> None:
            self.begun.set()
            await self.go_on.wait()
            self.done.set()

    operations = Slow()
    server = server_of(operations)
    await server.start()
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request("POST", "/models/fraud/load", {}))
    async with asyncio.timeout(30):
        await operations.begun.wait()
        writer.close()
        await writer.wait_closed()
        await server.stop(30)
        operations.go_on.set()
        await operations.done.wait()
