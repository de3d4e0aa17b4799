"""Traffic rules as users meet them: a server process, its commands, and clients over all protocols.

Every answer tells the version that made it, and is checked against what the rules permitted from
the time it was asked for until it came.
"""

from __future__ import annotations

import json
import math
import re
import signal
import socket
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from tests.support import onnx_models
from tests.support.callers import Callers, infer
from tests.support.command import PATIENCE_S, Server, penstock
from tests.support.triton_repository import write

SETTINGS = """
inputs: {x: {datatype: FP32, shape: [-1, 1]}}
outputs: {y: {datatype: FP32, shape: [-1, 1]}}
versions: {policy: specific, numbers: [1]}
labels: {stable: 1}
"""
VERSION = """
import time

class Model:
    def predict(self, inputs):
        x = inputs["x"]
        {body}
        return {{"y": x}}
"""
GOOD, SLOW, ERRORING, SHIFTED = 2, 3, 4, 5
BODIES = {
    SLOW: "time.sleep(0.05)",
    # Whatever the score; and not of what a version is warmed up with, or it would never be ready.
    ERRORING: "if (x * 777 % 2 > 1).any(): raise ValueError('a bad release')",
    SHIFTED: "x = np.where(x > 0.5, x + 1, x)",
}
STEPS = ("--steps", "50,100", "--hold", "0.5s", "--guard", "min_requests=50")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """``m`` gives back what it gets, from 0 to 1; version 1 is stable, and what others are is
    above. ``t`` does so with text."""
    root = tmp_path / "models"
    write(root, "m/model.yaml", SETTINGS)
    for version in (1, GOOD):
        onnx_models.identity(root / f"m/{version}/model.onnx", shape=("batch", 1))
    for version, body in BODIES.items():
        write(root, f"m/{version}/model.py", f"import numpy as np\n{VERSION.format(body=body)}")
    for version in (1, 2):
        onnx_models.identity(root / f"t/{version}/model.onnx", "BYTES", ("batch", 1))
    return root


@pytest.fixture
def start(root: Path) -> Iterator[Callable[[], Running]]:
    """Starts servers of the repository, and kills them in the end."""
    servers: list[Server] = []

    def started() -> Running:
        servers.append(server := Server(root))
        return Running(server)

    yield started
    for server in servers:
        server.close()


class Running:
    """A server that is ready, and its admin port."""

    def __init__(self, server: Server) -> None:
        self.server = server
        addresses = server.addresses()
        self.http, self.grpc, self.admin = (addresses[name] for name in ("http", "grpc", "admin"))

    def told(self, path: str) -> Any:
        """What the admin port answers."""
        with urllib.request.urlopen(f"http://{self.admin}{path}", timeout=PATIENCE_S) as reply:
            return json.load(reply)

    def traffic(self, model: str = "m") -> Any:
        """How the traffic of a model is."""
        return self.told(f"/models/{model}/traffic")

    def arm(self, version: int, model: str = "m") -> Any:
        """How a version fares."""
        (arm,) = [arm for arm in self.traffic(model)["arms"] if arm["version"] == version]
        return arm

    def tell(self, command: str, *arguments: str) -> str:
        """``penstock models COMMAND m …``; gives what it prints."""
        done = penstock("models", command, *(arguments or ("m",)), "--admin", self.admin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def wait(self, condition: Callable[[Any], bool]) -> Any:
        """The traffic of ``m``, once it is as the condition says."""
        give_up_s = time.monotonic() + PATIENCE_S
        while not condition(traffic := self.traffic()):
            assert time.monotonic() < give_up_s, traffic
            time.sleep(0.02)
        return traffic

    def kill(self) -> None:
        self.server.process.send_signal(signal.SIGKILL)
        self.server.exit_code()


def ended(traffic: Any) -> bool:
    """Whether the rollout is over."""
    return traffic["rollout"] is not None and traffic["rollout"]["ended_s"] > 0


class Permitted:
    """Which versions the rules let answer now; asks, and says what was not permitted.

    Versions are permitted from before a change is ordered until after it is known to be done.
    """

    def __init__(self, *versions: int) -> None:
        self.versions = frozenset(map(str, versions))
        self.met: Counter[str] = Counter()
        self.failed = 0
        self.last: dict[str, float] = {}
        """When the last request was sent that a version answered, in seconds since the epoch."""

    def only(self, *versions: int) -> None:
        self.versions = frozenset(map(str, versions))

    def ask(self, module: ModuleType, client: Any, number: int) -> str:
        """See ``Callers``."""
        before, value = self.versions, number * 0.618 % 0.99
        sent_s = time.time()
        try:
            got, version = infer(module, client, value)
        except InferenceServerException as error:
            if "raised ValueError" not in error.message():
                raise
            self.failed += 1
            self.last[str(ERRORING)] = sent_s
            permitted = before | self.versions
            return "" if str(ERRORING) in permitted else f"failed, of {set(permitted)}: {error!r}"
        self.met[version] += 1
        self.last[version] = max(sent_s, self.last.get(version, 0.0))
        permitted = before | self.versions
        if version not in permitted:
            return f"version {version} answered, of {set(permitted)}"
        shifted = 1.0 if version == str(SHIFTED) and value > 0.5 else 0.0
        if not math.isclose(got, value + shifted, rel_tol=1e-5, abs_tol=1e-6):
            return f"version {version} made {got} of {value}"
        return ""


def calling(server: Running, permitted: Permitted) -> Any:
    return Callers(server.http, server.grpc, permitted.ask).calling()


# rollouts


def test_good_version_takes_over_step_by_step(start: Callable[[], Running]) -> None:
    server, permitted = start(), Permitted(1)
    with calling(server, permitted):
        permitted.only(1, GOOD)
        server.tell("rollout", "m", "--to", str(GOOD), *STEPS)
        traffic = server.wait(ended)
        assert traffic["rollout"]["status"] == "completed", traffic["rollout"]
        permitted.only(GOOD)
        before = permitted.met[str(GOOD)]
        server.wait(lambda _: permitted.met[str(GOOD)] > before + 100)
    assert not permitted.failed
    assert traffic["labels"] == {"stable": GOOD, "previous": 1}
    assert set(permitted.met) == {"1", str(GOOD)}
    said = [line["what"] for line in reversed(server.told("/audit?model=m"))]
    assert any("50" in what for what in said), said
    assert any("complete" in what for what in said), said


@pytest.mark.parametrize(
    ("version", "reason"),
    [(SLOW, "p99"), (ERRORING, "error|failed"), (SHIFTED, "score")],
    ids=["slow", "erroring", "shifted"],
)
def test_bad_version_is_rolled_back_by_itself(
    start: Callable[[], Running], version: int, reason: str
) -> None:
    server, permitted = start(), Permitted(1)
    with calling(server, permitted):
        permitted.only(1, version)
        server.tell("rollout", "m", "--to", str(version), "--steps", "20,50,100", "--hold", "5s")
        traffic = server.wait(ended)
        assert traffic["rollout"]["status"] == "rolled_back", traffic["rollout"]
        permitted.only(1)
        before = permitted.met["1"]
        server.wait(lambda _: permitted.met["1"] > before + 100)
    assert re.search(reason, traffic["rollout"]["reason"]), traffic["rollout"]["reason"]
    assert permitted.met[str(version)] + permitted.failed > 0
    assert traffic["rollout"]["reason"] in server.tell("traffic")
    assert traffic["rollout"]["reason"] in server.tell("audit")


def test_rollback_by_hand_takes_effect_while_the_new_version_fails(
    start: Callable[[], Running],
) -> None:
    server, permitted = start(), Permitted(1)
    with calling(server, permitted):
        permitted.only(1, ERRORING)
        server.tell(
            *("rollout", "m", "--to", str(ERRORING), "--steps", "100", "--hold", "1h"),
            *("--guard", "max_error_rate_increase=1", "--guard", "max_score_shift=1"),
        )
        server.wait(lambda _: permitted.failed > 20)
        server.tell("rollback", "m", "--why", "it fails")
        permitted.only(1)
        before = permitted.met["1"]
        server.wait(lambda _: permitted.met["1"] > before + 100)
    line = server.told("/audit?model=m&limit=1")[0]
    assert (line["why"], line["after"]["rollout"]["status"]) == ("it fails", "rolled_back")
    assert "@" in line["who"]
    assert permitted.last[str(ERRORING)] < line["time_s"] + 1.0


def test_rollout_goes_on_after_a_crash_in_the_middle(start: Callable[[], Running]) -> None:
    server, permitted = start(), Permitted(1, GOOD)
    server.tell(
        *("rollout", "m", "--to", str(GOOD), "--steps", "30,60,100", "--hold", "1s"),
        *("--guard", "min_requests=50"),
    )

    killed = False

    def ask(module: ModuleType, client: Any, number: int) -> str:
        try:
            return permitted.ask(module, client, number)
        except Exception:
            if not killed:
                raise
            return ""  # connections are cut, and nobody listens any more

    with Callers(server.http, server.grpc, ask).calling():
        before = server.wait(lambda traffic: traffic["rollout"]["step"] == 1)
        killed = True
        server.kill()
    server = start()
    after = server.traffic()
    assert after["rollout"]["version"] == GOOD
    assert after["rollout"]["step"] in (1, 2)
    assert after["rollout"]["steps"] == before["rollout"]["steps"]
    assert after["labels"] == before["labels"]
    assert server.arm(GOOD)["weight"] == pytest.approx((0.6, 1.0)[after["rollout"]["step"] - 1])
    with calling(server, permitted):
        assert server.wait(ended)["rollout"]["status"] == "completed"
        permitted.only(GOOD)
        before = permitted.met[str(GOOD)]
        server.wait(lambda _: permitted.met[str(GOOD)] > before + 100)


def test_crash_leaves_the_old_rules_or_the_new(start: Callable[[], Running]) -> None:
    rules: list[dict[str, Any]] = [
        {"split": {"1": 3, "2": 1}, "sticky": {"header": "a"}, "salt": "a"},
        {"split": {"1": 1, "2": 3}, "sticky": {"parameter": "b"}, "salt": "b"},
    ]

    def put(server: Running, number: int) -> None:
        body = json.dumps({"traffic": rules[number % 2]}).encode()
        request = urllib.request.Request(
            f"http://{server.admin}/models/m/traffic",
            body,
            {"Content-Type": "application/json"},
            method="PUT",
        )
        urllib.request.urlopen(request, timeout=PATIENCE_S).close()

    for _ in range(3):
        server = start()
        put(server, 0)
        with ThreadPoolExecutor(1) as pool:

            def change(server: Running = server) -> int:
                for number in range(1, 100_000):
                    try:
                        put(server, number)
                    except OSError:
                        return number
                return 0

            changing = pool.submit(change)
            revision = server.traffic()["revision"]
            server.wait(lambda traffic, since=revision: traffic["revision"] > since + 20)
            server.kill()
            assert changing.result(PATIENCE_S)
        traffic = (server := start()).traffic()
        weights = {str(arm["version"]): arm["weight"] for arm in traffic["arms"] if arm["weight"]}
        assert (weights, traffic["sticky"]) in [
            ({name: weight / 4 for name, weight in one["split"].items()}, one["sticky"])
            for one in rules
        ]
        line = server.told("/audit?model=m&limit=1")[0]
        assert line["after"]["traffic"]["sticky"] == traffic["sticky"]
        server.kill()


# splits


def within(hits: int, trials: int, share: float) -> bool:
    """Whether so many hits are in the middle 99.9 % of what the share leads to."""
    return abs(hits - trials * share) <= 3.29 * math.sqrt(trials * share * (1 - share)) + 0.5


def http_request(address: str, model: str, value: float) -> bytes:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [value]}
    body = json.dumps({"inputs": [tensor]})
    head = f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: {address}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def versions_over_http(address: str, number: int, at_once: int = 50) -> Counter[str]:
    """The versions that answer so many requests, which are sent ``at_once`` on one connection."""
    request = http_request(address, "m", 0.25) * at_once
    host, port = address.split(":")
    met: Counter[str] = Counter()
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
        for _ in range(number // at_once):
            connection.sendall(request)
            answers: list[bytes] = []
            received = b""
            while len(answers) < at_once:
                news = connection.recv(1 << 20)
                assert news, received
                received += news
                answers = re.findall(rb'"model_version":"(\d+)".*?\]\}\]\}', received)
            met.update(version.decode() for version in answers)
    return met


def versions_over_grpc(address: str, number: int) -> Counter[str]:
    """The versions that answer so many requests."""
    tensor = tritonclient.grpc.InferInput("x", [1, 1], "FP32")
    tensor.set_data_from_numpy(np.full((1, 1), 0.25, np.float32))
    with (
        tritonclient.grpc.InferenceServerClient(address) as client,
        ThreadPoolExecutor(4) as pool,
    ):
        replies = pool.map(lambda _: client.infer("m", [tensor]), range(number))
        return Counter(reply.get_response().model_version for reply in replies)


@pytest.mark.parametrize(("share", "over_http"), [(5, 100_000), (50, 20_000)])
def test_split_is_within_what_chance_allows(
    start: Callable[[], Running], share: int, over_http: int
) -> None:
    server = start()
    server.tell("split", "m", f"stable={100 - share}", f"{GOOD}={share}")
    server.wait(lambda traffic: {arm["state"] for arm in traffic["arms"]} == {"READY"})

    def is_kept(ask: Callable[[], Counter[str]], number: int) -> bool:
        met = ask()
        assert set(met) == {"1", str(GOOD)}
        assert met.total() == number
        return within(met[str(GOOD)], number, share / 100)

    # One sample in a thousand is outside by chance, two in a row are not.
    for ask, number in (
        (lambda: versions_over_http(server.http, over_http), over_http),
        (lambda: versions_over_grpc(server.grpc, 5_000), 5_000),
    ):
        assert any(is_kept(ask, number) for _ in range(2))
    arm = server.arm(GOOD)
    assert within(
        arm["requests"], sum(a["requests"] for a in server.traffic()["arms"]), share / 100
    )


# the same user


def by_http_json(server: Running, model: str, user: str, by: str) -> str:
    return by_client(tritonclient.http, server.http, model, user, by, binary=False)


def by_http_binary(server: Running, model: str, user: str, by: str) -> str:
    return by_client(tritonclient.http, server.http, model, user, by, binary=True)


def by_grpc(server: Running, model: str, user: str, by: str) -> str:
    return by_client(tritonclient.grpc, server.grpc, model, user, by)


WAYS = (by_http_json, by_http_binary, by_grpc)


def by_client(module: ModuleType, address: str, model: str, user: str, by: str, **how: bool) -> str:
    """The version that a user meets, who is told apart by a header, a parameter, or the input."""
    with module.InferenceServerClient(address) as client:
        tensor = module.InferInput("x", [1, 1], "FP32" if model == "m" else "BYTES")
        value = np.array([[user]], np.float32 if model == "m" else np.object_)
        kwargs = {"binary_data": how["binary"]} if how else {}
        tensor.set_data_from_numpy(value, **kwargs)
        reply = client.infer(
            model,
            [tensor],
            headers={"x-user": user} if by == "header" else None,
            parameters={"user": user} if by == "parameter" else None,
        ).get_response()
    return str(reply["model_version"] if isinstance(reply, dict) else reply.model_version)


@pytest.mark.parametrize(
    ("by", "model"),
    [("header", "t"), ("parameter", "t"), ("input", "t"), ("input", "m")],
    ids=["header", "parameter", "input", "number"],
)
def test_user_meets_the_same_version_everywhere(
    start: Callable[[], Running], by: str, model: str
) -> None:
    name = {"header": "X-User", "parameter": "user", "input": "x"}[by]
    users = [str(number) for number in range(40)]

    def seen(server: Running) -> list[dict[str, str]]:
        return [{user: way(server, model, user, by) for user in users} for way in WAYS]

    first, second = start(), start()
    first.tell("split", model, "1=50", "2=50", "--sticky", f"{by}:{name}")
    give_up_s = time.monotonic() + PATIENCE_S
    while second.traffic(model)["sticky"] is None or second.arm(2, model)["state"] != "READY":
        assert time.monotonic() < give_up_s
        time.sleep(0.02)
    met = seen(first)
    first.kill()
    met += seen(second) + seen(start())
    assert all(one == met[0] for one in met)
    assert set(met[0].values()) == {"1", "2"}


# shadow and feedback


def test_shadow_never_answers_and_is_compared(start: Callable[[], Running]) -> None:
    server = start()
    server.tell("shadow", "m", "--to", str(SHIFTED))
    server.wait(lambda traffic: traffic["shadow"] is not None)
    server.wait(lambda _: server.arm(SHIFTED)["state"] == "READY")
    with tritonclient.http.InferenceServerClient(server.http) as client:
        for number in range(400):  # of every four, one agrees
            value = 0.25 if number % 4 == 0 else 0.75
            assert infer(tritonclient.http, client, value) == (value, "1")

    def copies() -> Any:
        return server.arm(SHIFTED)["shadow"]

    server.wait(lambda _: copies()["compared"] + copies()["dropped"] + copies()["failed"] == 400)
    report = copies()
    assert (report["compared"], report["failed"]) == (400, 0)
    assert report["agreement"] == pytest.approx(0.25)
    assert report["max_distance"] == pytest.approx(1.0)
    assert report["mean_distance"] == pytest.approx(0.75)
    assert "400 compared, 25 % agree" in server.tell("traffic")
    server.tell("unshadow", "m")
    assert server.traffic()["shadow"] is None


def test_feedback_is_reported_by_version(start: Callable[[], Running]) -> None:
    server = start()
    server.tell("split", "m", "1=1", f"{GOOD}=1")

    def feedback(outcomes: list[Mapping[str, Any]]) -> None:
        body = json.dumps({"outcomes": outcomes}).encode()
        url = f"http://{server.http}/v2/models/m/feedback"
        urllib.request.urlopen(url, body, timeout=PATIENCE_S).close()

    server.wait(lambda _: server.arm(GOOD)["state"] == "READY")
    feedback([{"model_version": str(GOOD), "outcome": value} for value in (1, 0, 1, 1)])
    feedback([{"model_version": "1", "outcome": 0}])
    outcomes = server.wait(lambda _: server.arm(GOOD)["outcomes"] is not None)
    outcomes = server.arm(GOOD)["outcomes"]
    assert (outcomes["number"], outcomes["mean"]) == (4, 0.75)
    assert outcomes["standard_error"] == pytest.approx(0.25)
    assert "0.75 +-0.25 of 4" in server.tell("traffic")
