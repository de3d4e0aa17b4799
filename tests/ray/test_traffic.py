"""Traffic rules on a cluster: one authority, two gateways, and what is left when either is lost."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
import psutil
import pytest

from tests.support import onnx_models
from tests.support.ray_server import (
    AGAIN_S,
    LOST,
    Clients,
    RayServer,
    authorities_among,
    ray_server,
)
from tests.support.triton_repository import write

PATIENCE_S = 60
USERS = [f"user-{number}" for number in range(40)]
ROW = [1.0, -2.0, 3.0, 0.5]
SPLIT = {"stable": 70, "canary": 30}
ROLLOUT = {"to": 2, "hold_s": 3600, "guards": {"max_score_shift": None, "max_p99_ratio": None}}
"""Judged by errors and refusals alone: the scores of the two versions do differ."""
FAR = 4.5
"""Standard deviations that a share may be from its weight: once in 150,000 runs it is further."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayServer]:
    """Two gateways, and a model of which version 1 is served, and 2 could be."""
    root = tmp_path_factory.mktemp("models")
    for version in (1, 2):
        (root / f"ab/{version}").mkdir(parents=True)
        onnx_models.scaled(root / f"ab/{version}/model.onnx", float(version))
    write(
        root, "ab/model.yaml", "labels: {stable: 1}\nversions: {policy: specific, numbers: [1]}\n"
    )
    log = tmp_path_factory.mktemp("log") / "server.log"
    state = f"--state={tmp_path_factory.mktemp('state') / 'traffic'}"
    admin = f"--admin-port={two_ports()}"
    with ray_server(root, log, "--gateways=2", state, admin) as server:
        yield server
        assert server.stop() == 0


def two_ports() -> int:
    """The first of two free ones, below those that the system gives to whoever asks for any."""
    for port in range(21_000 + os.getpid() % 1000 * 8, 32_000, 2):
        with ExitStack() as held, suppress(OSError):
            for each in (port, port + 1):
                held.enter_context(socket.create_server(("127.0.0.1", each)))
            return port
    raise AssertionError("there are no two free ports")


@pytest.fixture(scope="module")
def both(server: RayServer) -> RayServer:
    """The server, once it serves both versions, because a label stands for the other one."""
    ask(server, "PUT", "/models/ab/labels/canary", {"version": 2})
    until(lambda: all(is_ready(server, "canary", gateway) for gateway in (0, 1)))
    return server


def is_ready(server: RayServer, version: str, gateway: int) -> bool:
    rows = ask(server, "GET", "/models/ab", gateway=gateway)["versions"]
    return any(row["state"] == "READY" and version in row["labels"] for row in rows)


def until(condition: Callable[[], object]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up, "it never was so"
        time.sleep(0.05)


def ask(server: RayServer, method: str, path: str, body: Any = None, gateway: int = 0) -> Any:
    """What the admin port of a gateway gives; an error is one."""
    status, answer = asked(server, method, path, body, gateway)
    assert status == 200, answer
    return answer


def asked(
    server: RayServer, method: str, path: str, body: Any = None, gateway: int = 0
) -> tuple[int, Any]:
    host, _, port = server.admin.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port) + gateway, timeout=60)
    try:
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"content-type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def infer(connection: http.client.HTTPConnection, user: str = "", version: str = "") -> int:
    """The version that answers, as its answer and its name for itself tell."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [4, 1], "data": ROW}
    path = f"/v2/models/ab/versions/{version}/infer" if version else "/v2/models/ab/infer"
    headers = {"x-user": user} if user else {}
    connection.request("POST", path, json.dumps({"inputs": [tensor]}), headers)
    text = connection.getresponse().read().decode()
    answer = json.loads(text)
    assert "error" not in answer, text
    (output,) = answer["outputs"]
    number = int(answer["model_version"])
    assert output["data"] == [number * value for value in ROW], text
    return number


def gateway_of(server: RayServer, connection: http.client.HTTPConnection) -> int:
    """The process at the other end."""
    port = connection.sock.getsockname()[1]
    (pid,) = (
        gateway.pid
        for gateway in server.replicas("gateways")
        if any(each.raddr and each.raddr.port == port for each in gateway.net_connections("tcp"))
    )
    return pid


def connections(server: RayServer, held: ExitStack, number: int) -> list[tuple[int, Any]]:
    """Connections with the gateway that each leads to: at least one to either."""
    found: list[tuple[int, Any]] = []

    def enough() -> bool:
        connection = http.client.HTTPConnection(server.http, timeout=60)
        held.callback(connection.close)
        connection.connect()
        infer(connection)  # the gateway has accepted it
        found.append((gateway_of(server, connection), connection))
        return len(found) >= number and len({pid for pid, _ in found}) == 2

    until(enough)
    return found


def answers(
    server: RayServer, number: int, users: Sequence[str] = ("",), version: str = ""
) -> list[tuple[str, int]]:
    """(user, version) of so many requests at each of the gateways, and of every user."""
    with ExitStack() as held:
        by_gateway = dict(connections(server, held, 2))
        return [
            (user, infer(connection, user, version))
            for connection in by_gateway.values()
            for user in users
            for _ in range(number)
        ]


def test_version_that_a_rule_needs_is_loaded(both: RayServer) -> None:
    assert {version for _, version in answers(both, 5, version="canary")} == {2}
    assert {version for _, version in answers(both, 20)} == {1}  # and has no share


def test_split_is_kept_by_both_gateways(both: RayServer) -> None:
    ask(both, "PUT", "/models/ab/split", {"split": SPLIT}, gateway=1)
    until(lambda: {version for _, version in answers(both, 20)} == {1, 2})
    with ExitStack() as held:
        for pid, connection in dict(connections(both, held, 2)).items():
            number = 1000
            counted = Counter(infer(connection) for _ in range(number))
            error = sqrt(number * 0.3 * 0.7)
            assert abs(counted[2] - number * 0.3) < FAR * error, (pid, counted)
    for gateway in (0, 1):  # the authority counts what both have answered
        until(lambda gateway=gateway: arm_of(both, 2, gateway)["requests"] >= 500)
        assert arm_of(both, 2, gateway)["weight"] == pytest.approx(0.3)


def arm_of(server: RayServer, version: int, gateway: int) -> Any:
    arms = ask(server, "GET", "/models/ab/traffic", gateway=gateway)["arms"]
    (arm,) = (arm for arm in arms if arm["version"] == version)
    return arm


@pytest.fixture(scope="module")
def sticky(both: RayServer) -> dict[str, int]:
    """The version that each user meets, from now on."""
    ask(both, "PUT", "/models/ab/split", {"split": SPLIT, "sticky": {"header": "x-user"}})
    until(lambda: len(set(answers(both, 3, USERS))) == len(USERS))
    return dict(answers(both, 1, USERS))


def test_user_meets_one_version_at_both_gateways_and_over_grpc(
    both: RayServer, sticky: dict[str, int]
) -> None:
    assert set(sticky.values()) == {1, 2}
    assert over_grpc(both) == set(sticky.items())


def over_grpc(server: RayServer) -> set[tuple[str, int]]:
    """(user, version) at both gateways."""
    grpc = pytest.importorskip("tritonclient.grpc")
    port = int(server.grpc.rpartition(":")[2])
    tensor = grpc.InferInput("x", [4, 1], "FP32")
    tensor.set_data_from_numpy(np.array(ROW, np.float32).reshape(4, 1))
    found: set[tuple[str, int]] = set()

    def reached() -> int:
        return sum(
            any(each.laddr.port == port and each.raddr for each in gateway.net_connections("tcp"))
            for gateway in server.replicas("gateways")
        )

    with ExitStack() as held:

        def all_asked() -> bool:
            options = [("grpc.use_local_subchannel_pool", 1)]
            client = grpc.InferenceServerClient(server.grpc, channel_args=options)
            held.callback(client.close)
            for user in USERS:
                answer = client.infer("ab", [tensor], headers={"x-user": user}).get_response()
                found.add((user, int(answer.model_version)))
            return reached() == 2

        until(all_asked)
    return found


@dataclass
class Answer:
    sent_s: float
    came_s: float
    user: str
    version: int


class UserLoad:
    """Clients that ask for one user after the other, and note which version answers."""

    def __init__(self, server: RayServer, clients: int = 6) -> None:
        self._server = server
        self.answers: list[Answer] = []
        self.lost: list[str] = []
        self._clients = Clients(self._ask, clients)

    def __enter__(self) -> UserLoad:
        self._clients.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._clients.stop()

    def more(self, number: int) -> None:
        """Wait for so many further answers."""
        before = len(self.answers)
        until(lambda: len(self.answers) >= before + number)

    def _ask(self, first: int) -> None:
        connection = http.client.HTTPConnection(self._server.http, timeout=60)
        count = first
        while not self._clients.over.is_set():
            count += 1
            user = USERS[count % len(USERS)]
            sent_s = time.monotonic()
            try:
                version = infer(connection, user)
            except (OSError, http.client.HTTPException, AssertionError, ValueError) as error:
                self.lost.append(repr(error))
                connection.close()
                self._clients.over.wait(AGAIN_S)
                continue
            self.answers.append(Answer(sent_s, time.monotonic(), user, version))
            if not count % 50:
                connection.close()  # the next one may be another gateway's
        connection.close()


def test_killed_authority_costs_no_request_and_no_rule(
    both: RayServer, sticky: dict[str, int]
) -> None:
    def rules() -> Any:
        told = ask(both, "GET", "/models/ab/traffic", gateway=1)
        weights = {arm["version"]: arm["weight"] for arm in told["arms"]}
        return told["revision"], told["labels"], told["sticky"], told["default"], weights

    before, lines = rules(), ask(both, "GET", "/audit?model=ab")
    with UserLoad(both) as load:
        load.more(200)
        (lost,) = authorities_among(both.descendants())
        lost.kill()
        load.more(500)
        until(lambda: any(each.pid != lost.pid for each in authorities_among(both.descendants())))
        until(lambda: asked(both, "GET", "/models/ab/traffic")[0] == 200)
        load.more(200)
    assert load.lost == []
    assert {(answer.user, answer.version) for answer in load.answers} <= set(sticky.items())
    assert rules() == before
    assert ask(both, "GET", "/audit?model=ab") == lines


def test_rollback_is_felt_at_both_gateways_within_a_second(
    both: RayServer, sticky: dict[str, int]
) -> None:
    ask(both, "POST", "/models/ab/rollout", {**ROLLOUT, "steps": [100]})
    until(lambda: {version for _, version in answers(both, 5, USERS[:5])} == {2})
    with UserLoad(both) as load:
        load.more(300)
        asked_s = time.monotonic()
        ask(both, "POST", "/models/ab/rollback", {"why": "a test"}, gateway=1)
        done_s = time.monotonic()
        load.more(500)
    assert load.lost == []
    last_s = max(answer.came_s for answer in load.answers if answer.version == 2)
    print(f"rollback: answered after {done_s - asked_s:.3f} s, felt after {last_s - asked_s:.3f} s")
    assert last_s - asked_s < 1.0
    assert {answer.version for answer in load.answers if answer.sent_s > last_s} <= {1, 2}
    assert rollout_of(both)["status"] == "rolled_back"


def rollout_of(server: RayServer) -> Any:
    return ask(server, "GET", "/models/ab/traffic")["rollout"]


def test_version_with_other_scores_is_given_up_for_what_both_gateways_saw(
    both: RayServer, sticky: dict[str, int]
) -> None:
    rollout = {"to": 2, "steps": [50, 100], "hold_s": 3600, "guards": {"max_p99_ratio": None}}
    ask(both, "POST", "/models/ab/rollout", rollout, gateway=1)
    with UserLoad(both) as load:
        until(lambda: rollout_of(both)["status"] == "rolled_back")
        load.more(100)
    assert load.lost == []
    assert rollout_of(both)["reason"].startswith("scores:")
    until(lambda: {version for _, version in answers(both, 1, USERS)} == {1})


def test_gateway_killed_in_a_rollout_takes_nothing_along(
    both: RayServer, sticky: dict[str, int]
) -> None:
    ask(both, "POST", "/models/ab/rollout", {**ROLLOUT, "steps": [50, 100]})
    until(lambda: rollout_of(both)["status"] == "holding")
    until(lambda: len(set(answers(both, 1, USERS))) == len(USERS))  # both gateways know
    arms = dict(answers(both, 1, USERS))
    assert set(arms.values()) == {1, 2}
    clients = 6
    lost = both.replicas("gateways")[0]
    with UserLoad(both, clients) as load:
        load.more(200)
        lost.kill()
        load.more(500)
        until(lambda: len(listening(both)) == 2 and lost.pid not in listening(both))
        load.more(500)
    assert [text for text in load.lost if not re.search(LOST, text)] == []
    assert len(load.lost) <= clients
    assert rollout_of(both)["status"] == "holding", rollout_of(both)
    assert {(answer.user, answer.version) for answer in load.answers} == set(arms.items())
    assert dict(answers(both, 1, USERS)) == arms  # the new one has the rules as well
    ask(both, "POST", "/models/ab/rollback", {})
    until(lambda: {version for _, version in answers(both, 1, USERS)} == {1})


def listening(server: RayServer) -> set[int]:
    """Gateways that take connections of clients."""
    port = int(server.http.rpartition(":")[2])
    return {
        gateway.pid
        for gateway in server.replicas("gateways")
        if any(
            each.laddr.port == port and each.status == psutil.CONN_LISTEN
            for each in gateway.net_connections("tcp")
        )
    }
