"""Replicas, the gateway and Serve's controller are killed, stopped and starved, under load."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.memory_limit import memory_limit
from tests.support.ray_server import LOST, Load, RayServer, post
from tests.support.triton_repository import write

PATIENCE_S = 90
HOLDS, KILLS, EATS = 555.0, 666.0, 777.0
EATEN_BYTES = 400 * 10**6
SETTINGS = """
backend: python
resources: {instances: 1}
batching: {max_batch_size: 64}
inputs: {x: {datatype: FP32, shape: [-1, 4]}}
outputs: {y: {datatype: FP32, shape: [-1, 4]}}
"""
FAULTY = f"""
import os, pathlib, signal, time
import numpy as np

NOTES = pathlib.Path({{notes!r}})

class Model:
    def predict(self, inputs):
        x = inputs["x"]
        if (x == {HOLDS}).any():
            while not (NOTES / "go").exists():
                time.sleep(0.01)
        if (x == {EATS}).any():
            np.ones({EATEN_BYTES}, np.uint8)
        if (x == {KILLS}).any():
            with (NOTES / "kills").open("a") as notes:
                notes.write(f"{{{{len(x)}}}}\\n")
            os.kill(os.getpid(), signal.SIGKILL)
        return {{{{"y": x}}}}
"""
UNSTARTED = """
import os, pathlib

NOTES = pathlib.Path({notes!r})

class Model:
    def load(self, context):
        with (NOTES / "starts").open("a") as notes:
            notes.write("started\\n")
        if not (NOTES / "mended").exists():
            os._exit(1)

    def predict(self, inputs):
        return {{"y": inputs["x"]}}
"""


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the models of this file write what happens to them."""
    return tmp_path_factory.mktemp("notes")


@pytest.fixture(scope="module")
def faulty(server: RayServer, repository: Path, notes: Path) -> str:
    """A model of two replicas that does as its inputs say."""
    write(repository, "faulty/1/model.py", FAULTY.format(notes=str(notes)))
    write(repository, "faulty/model.yaml", f"{SETTINGS}autoscaling: {{min_replicas: 2}}\n")
    server.process.send_signal(signal.SIGHUP)
    server.wait_for("model 'faulty' version 1 is ready")
    return "faulty"


@pytest.fixture(scope="module")
def stopped(server: RayServer) -> Iterator[psutil.Process]:
    """A replica that hangs from the first test to the one that waits for another in its place."""
    process = server.replicas("pair")[0]
    with Load(server.http, "pair") as load:
        load.more(500)
        process.send_signal(signal.SIGSTOP)
        load.more(2000)
    assert load.wrong == []
    yield process
    with suppress(psutil.NoSuchProcess):
        process.kill()  # Ray asks it to end itself, and may give up when that does not get through


def until(condition: Callable[[], object], what: str) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up, f"not {what} after {PATIENCE_S} s"
        time.sleep(0.05)


def ask(server: RayServer, model: str, value: float) -> Any:
    """One row of ``value``; what is answered, with the status."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [value] * 4}
    return post(server.http, f"/v2/models/{model}/infer", {"inputs": [tensor]})


def right(answer: Any, value: float) -> bool:
    return bool(answer.get("outputs", [{}])[0].get("data") == [value] * 4)


def row(server: RayServer, model: str) -> dict[str, Any]:
    (found,) = (each for each in server.status()["models"] if each["name"] == model)
    return found


def test_hung_replica_costs_no_answer(stopped: psutil.Process) -> None:
    assert stopped.is_running()  # the fixture has checked the answers


def test_batch_that_kills_replicas_is_given_up_and_those_beside_it_are_answered(
    server: RayServer, faulty: str, notes: Path
) -> None:
    until(lambda: row(server, faulty)["slots"] == 2, "two slots")
    with Load(server.http, "pair", clients=2) as others, ThreadPoolExecutor(8) as pool:
        held: list[Future[Any]] = []
        for number in (1, 2):
            held.append(pool.submit(ask, server, faulty, HOLDS))
            until(lambda: row(server, faulty)["in_flight"] == number, "under way")  # noqa: B023
        # With all slots taken these wait, and leave together.
        values = (1.0, KILLS, 2.0, 3.0)
        asked = [pool.submit(ask, server, faulty, value) for value in values]
        until(lambda: row(server, faulty)["queued_rows"] == len(values), "queued")
        (notes / "go").touch()
        for each in held:
            assert right(each.result(PATIENCE_S), HOLDS)
        for value, each in zip(values, asked, strict=True):
            answer = each.result(PATIENCE_S)
            if value == KILLS:
                assert re.search(r"3 replicas of model 'faulty' were lost", answer["error"])
            else:
                assert right(answer, value), answer
    assert others.wrong == []
    assert (notes / "kills").read_text().split() == ["4", "4", "1"]
    assert right(ask(server, faulty, 4.0), 4.0)


def test_replica_out_of_memory_costs_no_answer(server: RayServer, faulty: str) -> None:
    until(lambda: len(server.replicas(faulty)) == 2, "two replicas")
    starved = server.replicas(faulty)[0]
    with memory_limit(starved.pid, EATEN_BYTES // 4), Load(server.http, faulty, 4) as load:
        load.more(50)
        while starved.is_running():  # whichever replica they come to, they are answered
            assert right(ask(server, faulty, EATS), EATS)
        load.more(50)
    assert load.wrong == []


def test_killed_gateway_comes_back_and_gives_no_wrong_answer(server: RayServer) -> None:
    (gateway,) = server.replicas("gateways")
    with Load(server.http, "pair") as load:
        load.more(500)
        gateway.kill()
        right_before = load.right
        until(lambda: load.right > right_before + 500, "served again")
    assert [text for text in load.wrong if not re.search(LOST, text)] == []
    (other,) = server.replicas("gateways")
    assert other.pid != gateway.pid


def test_model_whose_replicas_do_not_start_is_reported_and_the_others_are_served(
    server: RayServer, repository: Path, notes: Path
) -> None:
    write(repository, "unstarted/1/model.py", UNSTARTED.format(notes=str(notes)))
    write(repository, "unstarted/model.yaml", f"{SETTINGS}autoscaling: {{min_replicas: 4}}\n")
    with Load(server.http, "pair", clients=2) as load:
        server.process.send_signal(signal.SIGHUP)
        found = server.wait_for(r"model 'unstarted' version 1 is not served: (.*)")
        assert "its replicas do not start" in found[1]
        assert len((notes / "starts").read_text().split()) >= 10
        until(lambda: server.index()["unstarted", "1"][0] == "UNAVAILABLE", "reported")
        assert server.index()["unstarted", "1"][1] == found[1].strip()
        load.more(200)
        # Nothing of the model has changed, and it is tried again all the same.
        (notes / "mended").touch()
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("model 'unstarted' version 1 is ready")
    assert load.wrong == []
    assert right(ask(server, "unstarted", 1.0), 1.0)


def test_hung_replica_is_replaced(server: RayServer, stopped: psutil.Process) -> None:
    def ready() -> set[int]:
        """The processes that the gateway can send batches to."""
        members = row(server, "pair")["replicas"]["members"]
        return {each["pid"] for each in members if each["state"] == "ready"}

    until(lambda: len(ready() - {stopped.pid}) == 2, "replaced")


def test_killed_controller_is_not_noticed_by_requests_and_changes_go_on(
    server: RayServer, repository: Path
) -> None:
    (controller,) = (p for p in server.descendants() if "ray::ServeController" in title(p))
    before = server.replicas("mlp")
    with Load(server.http, "pair") as load:
        load.more(500)
        controller.kill()
        load.more(500)
        write(repository, "mlp/model.yaml", "batching: {max_batch_size: 16}\n")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: not any(process.is_running() for process in before), "replaced")
        load.more(500)
    assert load.wrong == []
    assert server.index()["mlp", "1"][0] == "READY"
    assert server.process.poll() is None


def title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
