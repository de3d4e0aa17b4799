"""Models are loaded each on its own: one that fails, or waits for ever, stops no other."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from serve.clock import monotonic_ns
from serve.errors import NotReady
from serve.gateway.control import Controller
from serve.gateway.endpoint import Endpoint
from serve.gateway.future_answer import FutureAnswer
from serve.monitoring.metrics import ServerMetrics
from serve.repository.override import read_overridden, write_files
from serve.repository.scan import scan, scan_model
from serve.repository.table import ModelTable
from serve.tensors import InferRequest, Tensor
from tests.support.triton_repository import write
from tests.unit.serve.gateway.conftest import SETTINGS

Table = ModelTable[Endpoint]
AddPython = Callable[[str, str], Path]


@pytest.fixture
def table() -> Table:
    return ModelTable()


def controller(table: Table, **limits: float) -> Controller:
    loop = asyncio.get_running_loop()
    return Controller(table, ServerMetrics(), monotonic_ns, loop, **limits)


def states(table: Table) -> dict[str, str]:
    return {row["name"]: row["state"] for row in table.index()}


async def test_good_models_live_beside_broken_ones(
    root: Path, table: Table, add_python: AddPython
) -> None:
    add_python("raises", "raise ValueError('no')")
    (root / "empty" / "1").mkdir(parents=True)
    control = controller(table)
    await control.load_all(scan(root))
    expected = {"good": "READY", "raises": "UNAVAILABLE", "empty": "UNAVAILABLE"}
    assert states(table) == expected
    assert control.failures == 2
    assert control.idle()
    control.close()


async def test_models_that_wait_for_ever_hold_up_nobody_and_are_given_up(
    root: Path, table: Table, add_stuck: Callable[[str], Path]
) -> None:
    for name in ("a_waits", "b_waits", "z_waits"):
        add_stuck(name)
    control = controller(table, load_timeout_s=0.2, patience_s=0.01)
    await control.load_all(scan(root))
    assert states(table)["good"] == "READY"
    assert states(table)["z_waits"] == "UNAVAILABLE"
    (row,) = [row for row in table.index() if row["name"] == "a_waits"]
    assert "--load-timeout" in row["reason"]
    control.close()


async def test_loading_is_told_before_it_is_done(
    root: Path, table: Table, add_stuck: Callable[[str], Path]
) -> None:
    add_stuck("waits")
    load = asyncio.create_task(controller(table).load_all(scan(root)))
    while states(table).get("good") != "READY":  # noqa: ASYNC110 - the table tells nobody
        await asyncio.sleep(0)
    assert states(table)["waits"] == "LOADING"
    load.cancel()
    await asyncio.wait([load])


# changes beside what serves

DOUBLES = """
class Model:
    def predict(self, inputs):
        return {{"y": inputs["x"] * {factor}}}
"""
HOLDS = """
import threading, pathlib
class Model:
    def load(self, context):
        self.gate = context.folder / "gate"
    def predict(self, inputs):
        if inputs["x"].ravel()[0] == 99:
            self.gate.read_text()
        return {"y": inputs["x"] + 1}
"""


async def answer(table: Table, name: str, value: float = 1.0, version: str = "") -> float:
    """What a model says of a value now."""
    asked = FutureAnswer()
    array = np.full((1, 2), value, np.float32)
    request = InferRequest(name, version, [Tensor("x", "FP32", array)])
    asked.ticket = table.resolve(name, version).submit(request, asked)
    response = await asked
    return float(response.outputs[0].array.ravel()[0])


async def test_bring_puts_a_new_version_in_place_of_the_old(
    root: Path, table: Table, add_python: AddPython
) -> None:
    folder = add_python("m", DOUBLES.format(factor=2))
    control = controller(table)
    await control.load_all(scan(root))
    assert await answer(table, "m") == 2.0
    write(root, "m/2/model.py", DOUBLES.format(factor=3))
    assert await control.bring(scan_model(folder)) == {}
    assert await answer(table, "m") == 3.0
    assert table.versions("m") == ["2"]
    await drained(control)
    control.close()


async def test_bring_loads_nothing_that_is_the_same(
    root: Path, table: Table, add_python: AddPython
) -> None:
    folder = add_python("m", DOUBLES.format(factor=2))
    control = controller(table)
    await control.load_all(scan(root))
    before = table.resolve("m", "")
    await control.bring(scan_model(folder))
    assert table.resolve("m", "") is before
    await control.bring(scan_model(folder), again=True)
    assert table.resolve("m", "") is not before
    await drained(control)
    control.close()


@pytest.mark.parametrize("wrong", ["raise ValueError('no')", "class Model: ..."])
async def test_version_that_fails_replaces_nothing_and_is_told(
    root: Path, table: Table, add_python: AddPython, wrong: str
) -> None:
    folder = add_python("m", DOUBLES.format(factor=2))
    control = controller(table)
    await control.load_all(scan(root))
    write(root, "m/2/model.py", wrong)
    assert list(await control.bring(scan_model(folder))) == [2]
    assert await answer(table, "m") == 2.0
    rows = {row["version"]: (row["state"], row["reason"]) for row in table.index()[1:]}
    assert rows["1"] == ("READY", "")
    assert rows["2"][0] == "UNAVAILABLE"
    assert "model.py" in rows["2"][1]
    write(root, "m/2/model.py", DOUBLES.format(factor=4))
    assert await control.bring(scan_model(folder)) == {}
    assert await answer(table, "m") == 4.0
    assert [row["version"] for row in table.index() if row["name"] == "m"] == ["2"]
    await drained(control)
    control.close()


async def test_change_of_a_version_that_fails_leaves_it_as_it_was(
    root: Path, table: Table, add_python: AddPython
) -> None:
    folder = add_python("m", DOUBLES.format(factor=2))
    control = controller(table)
    await control.load_all(scan(root))
    write(root, "m/1/model.py", "raise ValueError('no')")
    await control.bring(scan_model(folder))
    assert await answer(table, "m") == 2.0
    (row,) = [row for row in table.index() if row["name"] == "m"]
    assert row["state"] == "READY"
    assert "goes on as it was" in row["reason"]
    assert "ValueError: no" in row["reason"]
    write(root, "m/1/model.py", DOUBLES.format(factor=2) + "# mended")
    await control.bring(scan_model(folder))
    assert [row["reason"] for row in table.index()] == ["", ""]
    await drained(control)
    control.close()


@pytest.fixture
def gate(add_python: AddPython) -> Path:
    """What model ``m``, which holds a request of 99, waits for."""
    folder = add_python("m", HOLDS)
    os.mkfifo(folder / "1" / "gate")
    return folder / "1" / "gate"


async def held_in(control: Controller, root: Path, table: Table) -> asyncio.Task[float]:
    """A request that ``m`` has accepted and holds."""
    await control.load_all(scan(root))
    held = asyncio.create_task(answer(table, "m", 99.0))
    await asyncio.sleep(0)
    return held


async def test_what_the_old_version_accepted_it_answers(
    root: Path, table: Table, gate: Path
) -> None:
    control = controller(table)
    held = await held_in(control, root, table)
    write(root, "m/2/model.py", DOUBLES.format(factor=3))
    await control.bring(scan_model(root / "m"))
    assert await answer(table, "m") == 3.0
    assert not held.done()
    assert not control.idle()
    await asyncio.to_thread(gate.write_text, "go")
    assert await held == 100.0
    await drained(control)
    control.close()


async def test_unload_answers_what_was_accepted_and_frees_it(
    root: Path, table: Table, gate: Path
) -> None:
    control = controller(table)
    held = await held_in(control, root, table)
    unload = asyncio.create_task(control.unload("m"))
    while states(table)["m"] != "UNLOADING":  # noqa: ASYNC110 - the table tells nobody
        await asyncio.sleep(0)
    with pytest.raises(NotReady, match="UNLOADING"):
        await answer(table, "m")
    await asyncio.to_thread(gate.write_text, "go")
    assert await held == 100.0
    assert await unload == (1,)
    assert "m" not in states(table)
    assert not any("penstock-m-" in thread.name for thread in threading.enumerate())
    control.close()


async def test_unload_gives_up_what_does_not_end(root: Path, table: Table, gate: Path) -> None:
    control = controller(table, drain_timeout_s=0.05)
    held = await held_in(control, root, table)
    await control.unload("m")
    with pytest.raises(NotReady, match="unloaded"):
        await held
    await asyncio.to_thread(gate.write_text, "go")
    control.close()


def set_labels(root: Path, stable: int, canary: int) -> None:
    write(root, "m/model.yaml", f"{SETTINGS}labels: {{stable: {stable}, canary: {canary}}}")


async def test_labels_that_are_new_wait_for_what_they_stand_for(
    root: Path, table: Table, add_python: AddPython
) -> None:
    folder = add_python("m", DOUBLES.format(factor=1))
    control = controller(table)
    await control.load_all(scan(root))
    write(root, "m/2/model.py", "raise ValueError('no')")
    set_labels(root, stable=2, canary=1)
    await control.bring(scan_model(folder))
    assert await answer(table, "m") == 1.0
    await drained(control)
    control.close()


async def test_labels_move_when_all_they_stand_for_is_ready(
    root: Path, table: Table, add_python: AddPython
) -> None:
    folder = add_python("m", DOUBLES.format(factor=1))
    write(root, "m/2/model.py", DOUBLES.format(factor=2))
    set_labels(root, stable=1, canary=2)
    control = controller(table)
    await control.load_all(scan(root))
    before = table.resolve("m", "canary")
    said = [await answer(table, "m", version=version) for version in ("stable", "canary", "")]
    assert said == [1.0, 2.0, 1.0]

    write(root, "m/3/model.py", "raise ValueError('no')")
    set_labels(root, stable=2, canary=3)
    assert list(await control.bring(scan_model(folder))) == [3]
    said = [await answer(table, "m", version=version) for version in ("stable", "canary", "")]
    assert said == [1.0, 2.0, 1.0]

    write(root, "m/3/model.py", DOUBLES.format(factor=3))
    assert await control.bring(scan_model(folder)) == {}
    said = [await answer(table, "m", version=version) for version in ("stable", "canary", "")]
    assert said == [2.0, 3.0, 2.0]
    assert table.resolve("m", "stable") is before, "moving a label loads nothing"
    assert before.live.config.labels == {"stable": 2, "canary": 3}
    await drained(control)
    control.close()


async def test_files_of_a_request_live_as_long_as_what_is_made_of_them(
    root: Path, table: Table, add_python: AddPython, tmp_path: Path
) -> None:
    content = (root / "good/1/model.onnx").read_bytes()
    files = write_files("good", {"1/model.onnx": content})
    entry = read_overridden(Path(files.name, "good"), "{}", uploaded=True)
    control = controller(table)
    await control.bring(entry, files)
    assert there(files.name)
    await control.unload("good")
    assert not there(files.name)
    bad = write_files("good", {"1/model.onnx": b"no model"})
    entry = read_overridden(Path(bad.name, "good"), "{}", uploaded=True)
    assert list(await control.bring(entry, bad)) == [1]
    assert not there(bad.name)
    control.close()


def there(path: str) -> bool:
    return Path(path).exists()


async def drained(control: Controller) -> None:
    """Wait until what was replaced is closed."""
    while control._retiring:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.001)
