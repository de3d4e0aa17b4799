from __future__ import annotations

import pytest

from serve.clock import NS_PER_MS
from serve.scheduling.cost import CostModel
from serve.scheduling.policy import Limits, Load, Refusal, admit, batch_limit, wait_ns, work_ns

MS = NS_PER_MS
FLAT = CostModel({1: 10 * MS, 16: 10 * MS})  # batching is free
LINEAR = CostModel({1: 1 * MS, 16: 16 * MS})  # batching brings nothing
LIMITS = Limits(max_batch_rows=16, max_queue_rows=100)


def decide(
    rows: int = 1,
    deadline_ms: int = 60_000,
    queued: int = 0,
    running: int = 1,
    left_ms: int = 0,
    cost: CostModel = LINEAR,
    slo_ms: int = 0,
    slots: int = 1,
) -> str:
    limits = Limits(16, 100, slo_ns=slo_ms * MS)
    load = Load(queued, running, left_ms * MS, slots)
    refusal = admit(0, rows, deadline_ms * MS, load, cost, limits)
    return refusal.reason if refusal else "admitted"


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ({"queued": 0, "running": 0, "slo_ms": 1, "cost": FLAT}, "admitted"),
        ({"queued": 20, "deadline_ms": 100}, "admitted"),
        ({"queued": 80, "deadline_ms": 100}, "deadline"),
        ({"queued": 20, "deadline_ms": 100, "left_ms": 90}, "deadline"),
        ({"queued": 20, "slo_ms": 100}, "admitted"),
        ({"queued": 80, "slo_ms": 100}, "slo"),
        ({"queued": 80, "slo_ms": 100, "slots": 2}, "admitted"),
        ({"queued": 20, "slo_ms": 100, "slots": 0}, "admitted"),
        ({"queued": 99, "rows": 2, "slots": 0}, "queue_full"),
        ({"queued": 99, "rows": 1}, "admitted"),
        ({"queued": 99, "rows": 2}, "queue_full"),
        ({"queued": 40, "slo_ms": 100, "cost": FLAT}, "admitted"),
    ],
)
def test_admit_decides(case: dict[str, object], expected: str) -> None:
    assert decide(**case) == expected  # type: ignore[arg-type]


def test_admit_hints_when_to_retry() -> None:
    limits = Limits(16, 1000, slo_ns=100 * MS)
    refusal = admit(0, 1, 60_000 * MS, Load(200, 1, 0), LINEAR, limits)
    assert isinstance(refusal, Refusal)
    assert 0 < refusal.retry_after_ns < refusal.predicted_ns


def test_batch_limit_does_not_divide_what_takes_no_time() -> None:
    cheap = CostModel({1: 40_000, 4: 100_000, 16: 400_000})
    assert cheap.efficient_rows == 4
    assert batch_limit(cheap, LIMITS) == 16
    assert batch_limit(cheap, Limits(max_batch_rows=12, max_queue_rows=100)) == 12


@pytest.mark.parametrize(
    ("cost", "slo_ms", "expected"),
    [
        (FLAT, 0, 16),
        (LINEAR, 0, 1),
        (FLAT, 10, 1),
        (CostModel({1: 4 * MS, 8: 8 * MS, 16: 12 * MS}), 0, 16),
        (CostModel({1: 4 * MS, 8: 8 * MS, 16: 12 * MS}), 20, 8),
        (CostModel({1: 4 * MS, 8: 8 * MS, 16: 16 * MS}), 0, 8),
    ],
)
def test_batch_limit_is_the_size_that_pays(cost: CostModel, slo_ms: int, expected: int) -> None:
    assert batch_limit(cost, Limits(16, 100, slo_ns=slo_ms * MS)) == expected


@pytest.mark.parametrize(
    ("rows", "age_ms", "deadline_ms", "expected_ms"),
    [
        (1, 0, 60_000, 5),
        (1, 3, 60_000, 2),
        (1, 5, 60_000, 0),
        (1, 9, 60_000, 0),
        (4, 0, 60_000, 0),  # preferred
        (16, 0, 60_000, 0),  # full
        (1, 0, 13, 3),  # the deadline leaves 3 ms beside a batch of 10
        (1, 0, 8, 0),
    ],
)
def test_wait_is_within_delay_and_deadline(
    rows: int, age_ms: int, deadline_ms: int, expected_ms: int
) -> None:
    limits = Limits(16, 100, max_delay_ns=5 * MS, preferred_rows=(4,))
    now_ns = age_ms * MS
    assert wait_ns(now_ns, rows, 0, deadline_ms * MS, FLAT, limits) == expected_ms * MS


def test_wait_is_zero_when_a_larger_batch_does_not_pay() -> None:
    limits = Limits(16, 100, max_delay_ns=5 * MS)
    assert wait_ns(0, 1, 0, 60_000 * MS, LINEAR, limits) == 0


def test_wait_is_zero_when_no_delay_is_allowed() -> None:
    assert wait_ns(0, 1, 0, 60_000 * MS, FLAT, LIMITS) == 0


def test_work_is_counted_in_batches_of_their_own_size() -> None:
    assert work_ns(0, 16, FLAT) == 0
    assert work_ns(16, 16, FLAT) == 10 * MS
    assert work_ns(33, 16, FLAT) == 30 * MS
    assert work_ns(33, 16, LINEAR) == 33 * MS
