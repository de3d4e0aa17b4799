"""What is deployed, told and deleted, as Serve reports one thing after the other."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("ray", reason="needs Ray: the extra `ray`")

from ray.serve.schema import ApplicationStatus

from serve.config import ServerSettings
from serve.executors.ray import fleet as module
from serve.executors.ray.fleet import Fleet
from serve.executors.ray.router import ENGINE
from serve.repository.scan import scan
from tests.support import onnx_models
from tests.support.triton_repository import write

GATEWAYS = "penstock:gateways"
NODE = {"CPU": 4.0}


@dataclass
class Serve:
    """What the fleet uses of Serve; tests say how its applications are."""

    applications: dict[str, Any] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    plans: list[dict[str, Any]] = field(default_factory=list)
    gateways: int = 0

    def status(self) -> Any:
        return SimpleNamespace(applications=dict(self.applications))

    def run_many(self, targets: Sequence[Any], **_: object) -> None:
        for target in targets:
            self.calls.append(f"run {target.name}")
            self.have(target.name, "DEPLOYING")
            if target.name == GATEWAYS:
                config = target.target._bound_deployment._deployment_config
                self.plans.append(config.user_config)
                self.gateways = config.num_replicas

    def delete(self, name: str, _blocking: bool = True) -> None:
        self.calls.append(f"delete {name}")
        self.applications.pop(name, None)

    # for tests

    def have(self, name: str, status: str, running: int = 0, message: str = "") -> None:
        deployment = SimpleNamespace(message=message, replica_states={"RUNNING": running})
        self.applications[name] = SimpleNamespace(
            status=ApplicationStatus(status), deployments={ENGINE: deployment}
        )

    def called(self) -> list[str]:
        """What was called since this was asked last."""
        calls, self.calls = self.calls, []
        return calls

    def told(self) -> dict[str, tuple[str, str]]:
        """State and application of each version that gateways were told last."""
        return {
            f"{each['name']}/{each['version']}": (each["state"], each.get("application", ""))
            for each in self.plans[-1]["versions"]
        }


@dataclass
class Cluster:
    own: bool = False
    folder: Path = Path("/nowhere")
    secret: bytes = b"s" * 32
    default_cpus: float = 0.0
    there: list[dict[str, float]] = field(default_factory=lambda: [NODE])

    def nodes(self) -> list[dict[str, float]]:
        return self.there


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Serve:
    fake = Serve()
    monkeypatch.setattr(module, "serve", fake)
    return fake


@pytest.fixture
def root(tmp_path: Path) -> Path:
    onnx_models.identity(tmp_path / "one/1/model.onnx")
    onnx_models.identity(tmp_path / "two/1/model.onnx")
    return tmp_path


def a_fleet(cluster: Cluster | None = None) -> Fleet:
    return Fleet(
        cluster or Cluster(),  # type: ignore[arg-type]
        ServerSettings(),
        lambda *_: None,  # type: ignore[arg-type, return-value]
        lambda: 0,
        gateway_count=0,
    )


def application(serve: Serve, model: str) -> str:
    """The application of a model that was deployed last."""
    return [name for name in serve.applications if name.startswith(f"penstock:{model}:")][-1]


def all_run(serve: Serve) -> None:
    for name in serve.applications:
        serve.have(name, "RUNNING", running=1)


def settled(fleet: Fleet, serve: Serve) -> None:
    """Have everything run, and the fleet know it."""
    while True:
        all_run(serve)
        if fleet.look():
            serve.called()
            return


def test_gateways_are_started_with_the_versions_and_told_what_runs(
    serve: Serve, root: Path
) -> None:
    fleet = a_fleet()
    fleet.want(scan(root))
    assert sorted(serve.called())[0] == f"run {GATEWAYS}"
    one, two = application(serve, "one"), application(serve, "two")
    assert serve.told() == {"one/1": ("LOADING", one), "two/1": ("LOADING", two)}
    assert not fleet.look()
    assert serve.called() == []
    serve.have(one, "RUNNING", running=1)
    assert not fleet.look()
    assert serve.told()["one/1"] == ("READY", one)
    assert not serve.plans[-1]["complete"]
    all_run(serve)
    assert not fleet.look()  # gateways were told just now
    assert serve.plans[-1]["complete"]
    all_run(serve)
    assert fleet.look()
    assert fleet.failures == 0


def test_changed_version_answers_until_the_new_one_does(serve: Serve, root: Path) -> None:
    fleet = a_fleet()
    fleet.want(scan(root))
    settled(fleet, serve)
    before, other = application(serve, "one"), application(serve, "two")
    write(root, "one/model.yaml", "batching: {max_batch_size: 16}\n")
    fleet.want(scan(root))
    after = application(serve, "one")
    assert serve.called() == [f"run {after}"]
    assert after != before
    assert serve.told() == {"one/1": ("READY", before), "two/1": ("READY", other)}
    serve.have(after, "RUNNING", running=1)
    assert not fleet.look()
    assert serve.told()["one/1"] == ("READY", after)
    serve.called()
    all_run(serve)
    fleet.look()
    assert serve.called() == [f"delete {before}"]


def test_version_that_does_not_start_replaces_nothing_and_is_tried_again(
    serve: Serve, root: Path
) -> None:
    fleet = a_fleet()
    fleet.want(scan(root))
    settled(fleet, serve)
    before = application(serve, "one")
    write(root, "one/model.yaml", "batching: {max_batch_size: 16}\n")
    fleet.want(scan(root))
    after = application(serve, "one")
    serve.have(after, "DEPLOY_FAILED", message="tried three times\nthe worker died")
    fleet.look()
    assert after not in serve.applications
    assert serve.told()["one/1"] == ("READY", before)
    serve.called()
    fleet.want(scan(root))
    assert f"run {after}" in serve.called()


def test_model_that_no_node_can_have_is_unavailable_until_one_joins(
    serve: Serve, root: Path
) -> None:
    write(root, "one/model.yaml", "resources: {gpus: 2}\n")
    cluster = Cluster()
    fleet = a_fleet(cluster)
    fleet.want(scan(root))
    serve.have(application(serve, "two"), "RUNNING", running=1)
    fleet.look()
    assert fleet.failures == 1
    assert serve.told()["one/1"][0] == "UNAVAILABLE"
    assert serve.told()["two/1"][0] == "READY"
    assert application(serve, "one")  # waits
    cluster.there.append({"CPU": 4.0, "GPU": 2.0})
    serve.have(application(serve, "one"), "RUNNING", running=1)
    fleet.look()
    assert serve.told()["one/1"][0] == "READY"


def test_node_that_joins_gets_a_gateway(serve: Serve, root: Path) -> None:
    cluster = Cluster()
    fleet = a_fleet(cluster)
    fleet.want(scan(root))
    settled(fleet, serve)
    assert serve.gateways == 1
    cluster.there.append(NODE)
    assert not fleet.look()
    assert serve.called() == [f"run {GATEWAYS}"]
    assert serve.gateways == 2


def test_earlier_server_is_taken_over_and_what_it_alone_has_goes_last(
    serve: Serve, root: Path
) -> None:
    earlier = a_fleet()
    earlier.want(scan(root))
    settled(earlier, serve)
    one, two = application(serve, "one"), application(serve, "two")
    write(root, "two/model.yaml", "batching: {max_batch_size: 16}\n")
    serve.have("others:three:1:abc", "RUNNING")
    fleet = a_fleet()
    fleet.adopt()
    fleet.want(scan(root))
    changed = application(serve, "two")
    assert sorted(serve.called()) == sorted([f"run {GATEWAYS}", f"run {changed}"])
    serve.have(GATEWAYS, "RUNNING")
    fleet.look()
    serve.have(GATEWAYS, "RUNNING")
    fleet.look()
    assert two in serve.applications  # gateways may use it yet
    settled(fleet, serve)
    assert two not in serve.applications
    assert one in serve.applications
    assert "others:three:1:abc" in serve.applications


def test_application_that_fails_is_named_once(
    serve: Serve, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fleet = a_fleet()
    fleet.want(scan(root))
    settled(fleet, serve)
    caplog.set_level(logging.INFO, "penstock.ray")
    for _ in range(3):
        serve.have(GATEWAYS, "UNHEALTHY", message="health check failed:\nport 8000 is taken")
        fleet.look()
    serve.have(GATEWAYS, "RUNNING")
    fleet.look()
    assert [record.getMessage() for record in caplog.records] == [
        f"{GATEWAYS} is UNHEALTHY: port 8000 is taken",
        f"{GATEWAYS} is well again",
    ]


def test_gateways_end_before_the_replicas(serve: Serve, root: Path) -> None:
    fleet = a_fleet()
    fleet.want(scan(root))
    settled(fleet, serve)
    names = set(serve.applications) - {GATEWAYS}
    fleet.stop()
    first, *others = serve.called()
    assert first == f"delete {GATEWAYS}"
    assert set(others) == {f"delete {name}" for name in names}


def test_labels_and_traffic_change_without_another_application(serve: Serve, root: Path) -> None:
    write(root, "one/model.yaml", "labels: {stable: 1}")
    fleet = a_fleet()
    fleet.want(scan(root))
    settled(fleet, serve)
    before = serve.told()
    write(root, "one/model.yaml", "labels: {main: 1}\ntraffic: {split: {main: 1}}")
    fleet.want(scan(root))
    assert serve.called() == [f"run {GATEWAYS}"]
    assert serve.told() == before
    (told,) = [each for each in serve.plans[-1]["versions"] if each["name"] == "one"]
    settings = json.loads(told["settings"])
    assert settings["labels"] == {"main": 1}
    assert settings["traffic"] == {"split": {"main": 1.0}}


def test_models_that_were_not_read_again_stay_as_they_are(
    serve: Serve, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(root, "broken/model.yaml", "labels: [\n")
    onnx_models.identity(root / "broken/1/model.onnx")
    fleet = a_fleet()
    fleet.want(scan(root))
    settled(fleet, serve)
    before = serve.told()
    caplog.clear()
    onnx_models.identity(root / "one/2/model.onnx")
    onnx_models.identity(root / "two/2/model.onnx")
    (root / "two/1/model.onnx").touch()
    fleet.want(scan(root), {"one"})
    (new,) = [call for call in serve.called() if call != f"run {GATEWAYS}"]
    assert new.startswith("run penstock:one:2:")
    after = serve.told()
    assert after.pop("one/2")[0] == "LOADING"
    assert after == before
    assert caplog.messages == []
