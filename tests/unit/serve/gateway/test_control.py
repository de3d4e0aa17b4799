"""Models are loaded each on its own: one that fails, or waits for ever, stops no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from serve.clock import monotonic_ns
from serve.gateway.control import Controller
from serve.gateway.endpoint import Endpoint
from serve.monitoring.metrics import ServerMetrics
from serve.repository.scan import scan
from serve.repository.table import ModelTable

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
