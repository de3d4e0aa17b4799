"""An engine's page of metrics: what it has counted once a gateway has sent batches."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from serve.clock import monotonic_ns
from serve.errors import Unavailable
from serve.executors.remote.executor import RemoteExecutor
from serve.executors.remote.metrics import engine_page
from serve.executors.remote.options import Endpoint, RemoteOptions, WantedModel
from serve.monitoring.metrics import ReplicaMetrics
from serve.scheduling.execution import Outcome
from serve.tensors import Batch
from tests.support.engines import Model, an_engine

NAMES = {"model": "m", "version": "1", "replica": "r"}
PATIENCE_S = 30


def samples(page: bytes) -> dict[tuple[str, str], float]:
    """(name, value of the label beyond the engine's, or "") to value."""
    found = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            if sample.name.startswith("penstock_"):
                assert NAMES.items() <= sample.labels.items()
                rest = [text for label, text in sample.labels.items() if label not in NAMES]
                found[sample.name, "".join(rest)] = sample.value
    return found


async def run(endpoint: Endpoint, *batches: Batch) -> None:
    """Send batches through a gateway's executor, one after the other."""
    loop = asyncio.get_running_loop()
    executor = RemoteExecutor(
        WantedModel("m", "1"), RemoteOptions(), ReplicaMetrics(), monotonic_ns, loop
    )
    executor.update({"r": endpoint})
    async with asyncio.timeout(PATIENCE_S):
        await executor.described()
        for batch in batches:
            outcome: asyncio.Future[Outcome] = loop.create_future()
            executor.submit(batch, 1000, outcome.set_result)
            await outcome
    executor.close()


def of(value: float, rows: int) -> Batch:
    return Batch((np.full((rows, 3), value, np.float32),), rows)


async def test_page_counts_batches_rows_failures_and_time(tmp_path: Path) -> None:
    with an_engine(tmp_path, Model(), instances=2) as engine:
        page = engine_page(engine)
        await run(Endpoint(str(tmp_path / "sockets/r.sock")), of(1, 2), of(2, 5), of(666, 1))
        found = samples(page())
    assert found["penstock_engine_slots", ""] == 2
    assert found["penstock_engine_running_batches", ""] == 0
    assert found["penstock_engine_queued_batches", ""] == 0
    assert found["penstock_engine_batches_total", "success"] == 2
    assert found["penstock_engine_batches_total", "failure"] == 1
    assert found["penstock_engine_batches_total", "declined"] == 0
    assert found["penstock_engine_rows_total", ""] == 8
    assert found["penstock_engine_busy_seconds_total", ""] > 0
    assert found["penstock_engine_batch_seconds_count", ""] == 3
    assert found["penstock_engine_batch_seconds_sum", ""] == pytest.approx(
        found["penstock_engine_busy_seconds_total", ""]
    )


def test_page_of_an_engine_that_has_ended_is_unavailable(tmp_path: Path) -> None:
    with an_engine(tmp_path, Model()) as engine:
        page = engine_page(engine)
    with pytest.raises(Unavailable, match="not running"):
        page()
