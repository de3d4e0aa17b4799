"""The table follows plans: what comes up, what replaces it, and what goes, with real engines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from serve.clock import monotonic_ns
from serve.errors import NotFound, NotReady
from serve.executors.ray.plan import Plan, Served
from serve.executors.remote.engine import Engine
from serve.executors.remote.options import Endpoint as Address
from serve.executors.remote.options import RemoteOptions
from serve.gateway.dataplane import Gateway
from serve.gateway.endpoint import Endpoint
from serve.gateway.overview import Member, Replicas
from serve.gateway.remote_control import RemoteController
from serve.monitoring.metrics import ServerMetrics
from serve.repository.table import ModelTable
from serve.tensors import InferRequest, Tensor
from tests.support.engines import Model, an_engine

PATIENCE_S = 30


class Finder:
    """Knows replicas as the test says; notes which applications nobody wants to know of."""

    def __init__(self) -> None:
        self.known: dict[str, Mapping[str, Address]] = {}
        self.forgotten: list[str] = []
        self.woken: list[str] = []
        self.news: dict[str, Callable[[Mapping[str, Address]], None]] = {}

    def find(
        self,
        application: str,
        loop: asyncio.AbstractEventLoop,
        listener: Callable[[Mapping[str, Address]], None],
    ) -> None:
        self.news[application] = listener
        loop.call_soon(listener, self.known.get(application, {}))

    def wake(self, application: str) -> None:
        self.woken.append(application)

    def forget(self, application: str) -> None:
        self.forgotten.append(application)


class Bench:
    def __init__(self) -> None:
        self.finder = Finder()
        self.table: ModelTable[Endpoint] = ModelTable()
        metrics = ServerMetrics()
        self.settled: list[str] = []
        self.controller = RemoteController(
            self.table,
            metrics,
            monotonic_ns,
            asyncio.get_running_loop(),
            finder=self.finder,
            options=RemoteOptions(),
            drain_timeout_s=PATIENCE_S,
            settle=self.settled.append,
        )
        self.gateway = Gateway(
            self.table, metrics, monotonic_ns, server_name="test", epoch_offset_ns=0
        )

    def knows(self, application: str, engine: Engine, folder: Path) -> None:
        name = engine.description.replica
        self.finder.known[application] = {name: Address(str(folder / f"sockets/{name}.sock"))}

    async def apply(self, *versions: Served) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self.controller.apply(Plan(versions))

    def ask(self) -> asyncio.Future[object]:
        data = np.ones((1, 2), np.float32)
        request = InferRequest("m", "", [Tensor("x", "FP32", data)])
        return asyncio.ensure_future(self.gateway.infer(request))

    async def ask_until_answered_by(self, model: Model) -> None:
        """Until ``model`` has run a request; those before may wait elsewhere."""
        async with asyncio.timeout(PATIENCE_S):
            while not model.parameters:
                asked = self.ask()
                await asyncio.wait((asked,), timeout=0.02)


@pytest.fixture
async def bench() -> Bench:
    return Bench()


def ready(application: str) -> Served:
    return Served("m", 1, "READY", "", application)


async def test_version_answers_when_the_plan_calls_it_ready(bench: Bench, tmp_path: Path) -> None:
    with an_engine(tmp_path, Model()) as engine:
        bench.knows("one", engine, tmp_path)
        await bench.apply(Served("m", 1, "LOADING"), Served("bad", 0, "UNAVAILABLE", "cut off"))
        with pytest.raises(NotReady, match="LOADING"):
            bench.table.resolve("m", "")
        with pytest.raises(NotReady, match="cut off"):
            bench.table.resolve("bad", "")
        assert bench.settled == []
        await bench.apply(ready("one"), Served("bad", 0, "UNAVAILABLE", "cut off"))
        assert bench.gateway.model_ready("m", "")
        assert bench.settled == ["m"]
        await bench.ask()
        bench.controller.close()


async def test_application_is_replaced_when_the_next_answers(bench: Bench, tmp_path: Path) -> None:
    old, new = Model(), Model()
    with an_engine(tmp_path, old, "old") as before, an_engine(tmp_path, new, "new") as after:
        bench.knows("one", before, tmp_path)
        bench.knows("two", after, tmp_path)
        await bench.apply(ready("one"))
        old.gate.clear()
        asked = bench.ask()
        await asyncio.to_thread(old.entered.acquire)
        applying = asyncio.ensure_future(bench.apply(ready("two")))
        await bench.ask_until_answered_by(new)
        assert not applying.done()
        old.gate.set()
        await asked
        await applying
        assert bench.finder.forgotten == ["one"]
        assert await asyncio.to_thread(before.drain, PATIENCE_S)
        bench.controller.close()
        assert await asyncio.to_thread(after.drain, PATIENCE_S)


async def test_version_that_left_the_plan_is_closed(bench: Bench, tmp_path: Path) -> None:
    with an_engine(tmp_path, Model()) as engine:
        bench.knows("one", engine, tmp_path)
        await bench.apply(ready("one"))
        await bench.apply()
        with pytest.raises(NotFound):
            bench.table.resolve("m", "")
        assert await asyncio.to_thread(engine.drain, PATIENCE_S)
        assert bench.controller.idle()


async def test_replicas_of_every_version_of_the_plan_are_told(bench: Bench, tmp_path: Path) -> None:
    with an_engine(tmp_path, Model(), instances=2) as engine:
        address = Address(str(tmp_path / "sockets/r.sock"), node="n1", pid=7, admin="h:9")
        bench.finder.known["one"] = {"r": address}
        await bench.apply(ready("one"), Served("bad", 0, "UNAVAILABLE", "cut off"))
        found = bench.controller.replicas()
        assert found["bad", ""] == Replicas(least=1, most=1, ready=0)
        assert found["m", "1"] == Replicas(
            least=1,
            most=1,
            ready=1,
            members=(
                Member(
                    name="r",
                    state="ready",
                    slots=2,
                    address=str(address),
                    admin="h:9",
                    node="n1",
                    pid=7,
                ),
            ),
        )
        await bench.apply()
        assert bench.controller.replicas() == {}
        bench.controller.close()
        assert await asyncio.to_thread(engine.drain, PATIENCE_S)


MANIFEST = {
    "schema_version": 1,
    "name": "m",
    "version": 2,
    "created": "2024-01-01T00:00:00+00:00",
    "signature": {"inputs": [], "outputs": []},
    "files": [{"path": "model.onnx", "sha256": "0" * 64, "bytes": 5}],
}


async def test_manifests_are_those_of_the_plan(bench: Bench) -> None:
    assert bench.controller.manifests("m") == {}
    await bench.apply(
        Served("m", 1, "LOADING"),
        Served("m", 2, "LOADING", manifest=json.dumps(MANIFEST)),
        Served("n", 2, "LOADING"),
    )
    (found,) = bench.controller.manifests("m").items()
    assert (found[0], found[1].name) == ("2", "m")
    assert bench.controller.manifests("n") == {}


async def test_model_without_a_replica_is_woken_by_a_request(bench: Bench, tmp_path: Path) -> None:
    resting = Served("m", 1, "READY", "", "one", '{"autoscaling": {"min_replicas": 0}}')
    with an_engine(tmp_path, Model(), "first") as engine:
        bench.knows("one", engine, tmp_path)
        await bench.apply(resting)
        assert bench.finder.woken == ["one"]  # what it is, only a replica knows
        bench.finder.news["one"]({})
    assert bench.gateway.model_ready("m", "")
    asked = bench.ask()
    async with asyncio.timeout(PATIENCE_S):
        while bench.finder.woken != ["one", "one"]:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    with an_engine(tmp_path, Model(), "second") as engine:
        bench.knows("one", engine, tmp_path)
        bench.finder.news["one"](bench.finder.known["one"])
        async with asyncio.timeout(PATIENCE_S):
            await asked
        bench.controller.close()


async def test_model_that_should_have_a_replica_is_not_woken(bench: Bench, tmp_path: Path) -> None:
    with an_engine(tmp_path, Model()) as engine:
        bench.knows("one", engine, tmp_path)
        await bench.apply(ready("one"))
        bench.finder.news["one"]({})
        assert not bench.gateway.model_ready("m", "")
        asked = bench.ask()
        bench.finder.news["one"](bench.finder.known["one"])
        async with asyncio.timeout(PATIENCE_S):
            await asked
        assert bench.finder.woken == []
        bench.controller.close()


def labelled(version: int, application: str, labels: dict[str, int]) -> Served:
    settings = json.dumps({"labels": labels})
    return Served("m", version, "READY" if application else "LOADING", "", application, settings)


async def test_labels_move_when_all_of_the_plan_is_ready(bench: Bench, tmp_path: Path) -> None:
    with an_engine(tmp_path, Model()) as engine:
        bench.knows("one", engine, tmp_path)
        await bench.apply(labelled(1, "one", {"stable": 1}))
        serving = bench.table.resolve("m", "stable")
        await bench.apply(labelled(1, "one", {"stable": 1}), labelled(2, "", {"stable": 2}))
        assert bench.table.resolve("m", "") is serving
        await bench.apply(labelled(1, "one", {"main": 1}))
        assert bench.table.resolve("m", "main") is serving
        with pytest.raises(NotFound, match="main"):
            bench.table.resolve("m", "stable")
        bench.controller.close()
