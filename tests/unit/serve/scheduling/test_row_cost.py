from __future__ import annotations

import pytest

from serve.clock import NS_PER_MS
from serve.scheduling.cost import CostModel
from serve.scheduling.policy import Limits
from serve.scheduling.row_cost import RowCost

PROFILE = {1: 4 * NS_PER_MS, 8: 8 * NS_PER_MS, 16: 12 * NS_PER_MS}


def test_row_costs_what_it_takes_in_the_best_batch() -> None:
    assert RowCost(CostModel(PROFILE), Limits(16, 100)).ns == 12 * NS_PER_MS / 16


def test_latency_target_makes_batches_smaller_and_rows_dearer() -> None:
    limits = Limits(16, 100, slo_ns=20 * NS_PER_MS)
    assert RowCost(CostModel(PROFILE), limits).ns == NS_PER_MS


def test_row_cost_follows_what_is_measured() -> None:
    subject = RowCost(CostModel(PROFILE), Limits(16, 100))
    for _ in range(100):
        subject.learn(16, 24 * NS_PER_MS)
    assert subject.ns == pytest.approx(24 * NS_PER_MS / 16, rel=0.05)
