"""The admin API of a whole server: what it does, what it refuses, and the command line over it."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import serve.cli
from serve.config import AdminSettings
from serve.transport.admin.keys import add_key, make_key
from tests.support import onnx_models
from tests.support.running import RunningApp, free_ports, running
from tests.support.triton_repository import write

PATIENCE_S = 60
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    for version in (1, 2):
        onnx_models.scaled(root / f"m/{version}/model.onnx", float(version))
    write(root, "m/model.yaml", "versions: {policy: all}\nlabels: {stable: 1}\n")
    return root


@pytest.fixture
def server(root: Path, tmp_path: Path) -> Iterator[RunningApp]:
    with running(root, free_ports(state=tmp_path / "state.sqlite3")) as server:
        yield server


def ask(
    server: RunningApp,
    method: str,
    path: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, Any]:
    """Status and JSON of an answer of the admin port; ``body`` is JSON, or bytes as they are."""
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body)
    connection = http.client.HTTPConnection(server.admin, timeout=PATIENCE_S)
    try:
        connection.request(method, path, data, JSON if headers is None else headers)
        reply = connection.getresponse()
        text = reply.read()
        return reply.status, json.loads(text) if text else None
    finally:
        connection.close()


def answering(server: RunningApp) -> int:
    """The version that answers a request which names none: it is also its factor."""
    connection = http.client.HTTPConnection(server.http, timeout=PATIENCE_S)
    try:
        tensor = {"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [1.0]}
        connection.request("POST", "/v2/models/m/infer", json.dumps({"inputs": [tensor]}))
        reply = json.loads(connection.getresponse().read())
        return round(reply["outputs"][0]["data"][0])
    finally:
        connection.close()


@contextmanager
def load_on(server: RunningApp) -> Iterator[None]:
    """Somebody asks all the time."""
    over = threading.Event()

    def go_on() -> None:
        while not over.is_set():
            answering(server)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(PATIENCE_S)


def penstock(server: RunningApp, *arguments: str) -> Any:
    return CliRunner().invoke(
        serve.cli.app, ["models", *arguments], env={"PENSTOCK_ADMIN": server.admin}
    )


def test_label_and_rollback_take_effect_at_once_and_are_audited(server: RunningApp) -> None:
    assert answering(server) == 1
    headers = JSON | {"Penstock-User": "zoë".encode().decode("latin-1")}
    change = {"version": 2, "why": "better"}
    assert ask(server, "PUT", "/models/m/labels/stable", change, headers)[0] == 200
    assert answering(server) == 2
    status, state = ask(server, "POST", "/models/m/rollback", {"why": "worse"})
    assert (status, state["labels"]["stable"]) == (200, 1)
    assert answering(server) == 1
    _, lines = ask(server, "GET", "/audit?model=m&limit=2")
    assert [line["why"] for line in lines] == ["worse", "better"]
    assert lines[1]["who"] == "zoë@127.0.0.1"
    assert lines[1]["before"]["labels"] is None  # those of model.yaml
    assert lines[0]["before"]["labels"]["stable"] == 2
    assert lines[0]["after"]["labels"]["stable"] == 1


def test_split_is_told_and_cleared(server: RunningApp) -> None:
    split = {"split": {"stable": 0, "2": 1}, "sticky": {"header": "x-user"}}
    assert ask(server, "PUT", "/models/m/split", split)[0] == 200
    _, report = ask(server, "GET", "/models/m/traffic")
    assert {arm["version"]: arm["weight"] for arm in report["arms"]} == {1: 0, 2: 1}
    assert report["sticky"] == {"header": "x-user"}
    assert ask(server, "DELETE", "/models/m/traffic", headers={})[0] == 200
    assert ask(server, "GET", "/models/m/traffic")[1]["from_model_yaml"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("PUT", "/models/m/split", {"split": {"nobody": 1}}, 400, "no label 'nobody'; the labels"),
        ("PUT", "/models/m/split", {"split": {"9": 1}}, 404, "it has 1, 2"),
        ("PUT", "/models/m/split", {"split": {"stable": -1}}, 400, "greater than or equal to 0"),
        ("PUT", "/models/m/split", {"split": {"stable": 0}}, 400, "a weight at least should be"),
        ("PUT", "/models/m/split", {"split": {"stable": 1e300}}, 400, "less than or equal to"),
        ("PUT", "/models/m/split", {"split": {"../x": 1}}, 400, "neither a version's number"),
        ("PUT", "/models/m/split", b'{"split": {"stable": NaN}}', 400, "GET /openapi.json"),
        ("PUT", "/models/m/traffic", {"traffic": {"splits": {}}}, 400, "traffic.splits"),
        ("PUT", "/models/m/shadow", {"shadow": {"to": 2, "percent": 101}}, 400, "shadow.percent"),
        ("PUT", "/models/m/labels/a%2Fb", {"version": 1}, 400, "a letter first"),
        ("PUT", "/models/m/labels/..%2f..", {"version": 1}, 400, "a letter first"),
        ("PUT", "/models/m/labels/%F0%9F%90%9F", {"version": 1}, 400, "a letter first"),
        ("PUT", f"/models/m/labels/{'a' * 65}", {"version": 1}, 400, "at most 63"),
        ("PUT", "/models/m/labels/%FF", {"version": 1}, 400, "not UTF-8"),
        ("PUT", "/models/m/labels/canary", {"version": 10**17}, 404, "it has 1, 2"),
        ("PUT", "/models/m/labels/canary", {"version": 10**40}, 400, "$.version"),
        ("DELETE", "/models/m/labels/canary", None, 404, "it has stable"),
        ("POST", "/models/m/rollout", {"to": 1}, 400, "has all the traffic already"),
        ("POST", "/models/m/rollout", {"to": 2, "steps": [5, 1]}, 400, "they do not ascend"),
        ("POST", "/models/m/rollout", {"to": 2, "steps": []}, 400, "as 1,5,25,100"),
        ("POST", "/models/m/rollout", {"to": 2, "hold_s": -1}, 400, "hold_s: should be from 0"),
        ("POST", "/models/m/rollout", {"to": 2, "guards": {"x": 1}}, 400, "guards: x"),
        ("POST", "/models/m/rollout/pause", {}, 404, "no rollout under way"),
        ("POST", "/models/m/rollback", {}, 503, "label one `stable`"),
        ("POST", "/models/m/rollback", {"why": "a\nb"}, 400, "printable"),
        ("POST", "/models/n/rollback", {}, 404, "unknown model"),
        ("POST", "/models/..%2Fm/rollback", {}, 404, "unknown model"),
        ("POST", "/models/..%2F..%2Fetc%2Fpasswd/rollback", {}, 404, "unknown model"),
        ("POST", "/models/%2e/rollback", {}, 404, "unknown model"),
        ("POST", "/models/m%00/rollback", {}, 404, "unknown model"),
        ("POST", "/models/.penstock/rollback", {}, 404, "unknown model"),
        ("POST", "/models/na%C3%AFve/rollback", {}, 404, "unknown model"),
        ("GET", "/models/..%2Fm/traffic", None, 404, "unknown model"),
        ("PUT", "/models/m/traffic", b" " * 100_000, 413, "65536 bytes"),
        ("GET", "/audit?limit=0", None, 400, "limit: should be from 1"),
        ("GET", "/models/m/rollback", None, 405, "use POST"),
    ],
)
def test_wrong_request_is_told_what_to_do_and_changes_nothing(
    server: RunningApp, method: str, path: str, body: Any, status: int, said: str
) -> None:
    before = ask(server, "GET", "/models/m/traffic")[1]
    found, reply = ask(server, method, path, body)
    assert (found, said in reply["error"]) == (status, True), reply
    after = ask(server, "GET", "/models/m/traffic")[1]
    assert (after["revision"], after["labels"]) == (before["revision"], before["labels"])


@pytest.mark.parametrize(
    ("headers", "status", "said"),
    [
        (JSON | {"Origin": "https://evil.example"}, 403, "leave out the Origin header"),
        ({"Content-Type": "text/plain"}, 415, "Content-Type: application/json"),
        ({}, 415, "Content-Type: application/json"),
        (JSON | {"Host": "evil.example:8002"}, 403, "--admin-keys"),
        (JSON | {"Penstock-User": "a" * 200}, 400, "Penstock-User"),
    ],
)
def test_web_page_cannot_roll_back(
    server: RunningApp, headers: dict[str, str], status: int, said: str
) -> None:
    found, reply = ask(server, "POST", "/models/m/rollback", b"{}", headers)
    assert (found, said in reply["error"]) == (status, True), reply
    assert ask(server, "GET", "/audit")[1] == []


def test_keys_are_asked_for_and_name_who_did_it(root: Path, tmp_path: Path) -> None:
    file, made = tmp_path / "keys.yaml", make_key("ci")
    add_key(file, made)
    settings = free_ports(state=tmp_path / "s.sqlite3").model_copy(
        update={"admin": AdminSettings(host="0.0.0.0", port=0, keys_file=file)}
    )
    with running(root, settings) as server:
        change = ("PUT", "/models/m/labels/stable", {"version": 1})
        for bad in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": made.secret}):
            for asked in (change, ("GET", "/models/m/traffic"), ("GET", "/openapi.json")):
                status, reply = ask(server, *asked, headers=JSON | bad)
                assert (status, "Authorization: Bearer" in reply["error"]) == (401, True)
        assert ask(server, "GET", "/healthz")[0] == 200
        good = JSON | {"Authorization": f"Bearer {made.secret}", "Host": "penstock.example"}
        assert ask(server, *change, headers=good)[0] == 200
        assert ask(server, "GET", "/audit", headers=good)[1][0]["who"] == "ci"
        refused = penstock(server, "rollback", "m")
        assert "--key-file" in str(refused.exception)
        done = penstock(server, "traffic", "m", "--key", made.secret)
        assert "labels: stable=1" in done.stdout


def test_from_elsewhere_nothing_is_changed_without_keys(root: Path, tmp_path: Path) -> None:
    settings = free_ports(state=tmp_path / "s.sqlite3").model_copy(
        update={"admin": AdminSettings(host="0.0.0.0", port=0)}
    )
    with running(root, settings) as server:
        status, reply = ask(server, "POST", "/models/m/rollback", {})
        assert (status, "--admin-keys" in reply["error"]) == (403, True)
        assert ask(server, "GET", "/models/m/traffic")[0] == 200


def test_every_path_of_the_description_is_there(server: RunningApp) -> None:
    _, document = ask(server, "GET", "/openapi.json")
    assert document["openapi"] == "3.1.0"
    for path, item in document["paths"].items():
        there = path.replace("{model}", "nobody").replace("{label}", "none")
        for method in item:
            headers = {"Content-Type": "text/plain"}  # so that nothing is changed
            connection = http.client.HTTPConnection(server.admin, timeout=PATIENCE_S)
            connection.request(method.upper(), there, b"{}", headers)
            reply = connection.getresponse()
            assert reply.status != 405 and b"Not Found" not in reply.read(), (method, path)
            connection.close()


def test_rollout_is_watched_to_its_end(server: RunningApp) -> None:
    plan = ["--to", "2", "--steps", "50,100", "--hold", "0", "--guard", "min_requests=5"]
    off = ["--guard", "max_score_shift=off", "--guard", "max_p99_ratio=off"]
    with load_on(server):
        done = penstock(server, "rollout", "m", *plan, *off, "--watch")
    assert done.exit_code == 0, done.output
    assert "completed" in done.stdout.splitlines()[-1]
    assert answering(server) == 2
    assert penstock(server, "rollback", "m", "--why", "after all").exit_code == 0
    assert answering(server) == 1
    assert "after all" in penstock(server, "audit", "m").stdout


def test_watch_tells_why_a_rollout_was_rolled_back(server: RunningApp) -> None:
    begun = penstock(server, "rollout", "m", "--to", "2", "--hold", "1h")
    assert begun.exit_code == 0, begun.output
    found, reply = ask(server, "PUT", "/models/m/split", {"split": {"stable": 1}})
    assert (found, "penstock models rollback m" in reply["error"]) == (409, True)
    assert penstock(server, "rollback", "m", "--why", "scores look wrong").exit_code == 0
    done = penstock(server, "rollout", "m", "--watch")
    assert done.exit_code == 1
    assert done.stdout.rstrip().endswith("scores look wrong")
