from __future__ import annotations

import pytest

from serve.clock import NS_PER_MS, NS_PER_S
from serve.errors import DeadlineExceeded, Overloaded
from serve.monitoring.metrics import VersionMetrics
from serve.scheduling.admission import Admission
from serve.scheduling.cost import CHEAP_SAMPLING, CostModel
from serve.scheduling.policy import Limits, Load

IDLE = Load(0, 0, 0)


def admission(batch_ms: float = 10, **limits: int) -> Admission:
    cost = CostModel({8: int(batch_ms * NS_PER_MS)})
    options = {"max_batch_rows": 8, "max_queue_rows": 100, **limits}
    return Admission("m", Limits(**options), cost, VersionMetrics("m", "1"))


@pytest.mark.parametrize(
    ("rows", "left_ms", "free"), [(8, 50, True), (16, 50, True), (17, 50, False), (8, 49, False)]
)
def test_free_rows_are_those_that_half_of_fifty_milliseconds_clears(
    rows: int, left_ms: int, free: bool
) -> None:
    assert admission().free(rows, left_ms * NS_PER_MS) is free


def test_check_refuses_a_late_request() -> None:
    with pytest.raises(DeadlineExceeded, match="model 'm'"):
        admission().check(1, 5, IDLE, 5)


def test_check_refuses_with_reason_and_hint() -> None:
    subject = admission(slo_ns=100 * NS_PER_MS)
    subject.check(1, NS_PER_S, Load(8, 1, 0), 0)
    with pytest.raises(Overloaded, match=r"overloaded \(slo\).*about 60 ms") as refused:
        subject.check(8, NS_PER_S, Load(40, 1, 0), 0)
    assert refused.value.retry_after_s == pytest.approx(0.01)
    with pytest.raises(Overloaded, match=r"no replica now, and enough waits .* \(slo\)"):
        subject.check(8, NS_PER_S, Load(80, 0, 0, slots=0), 0)


def test_learn_follows_every_costly_batch() -> None:
    subject = admission(slo_ns=100 * NS_PER_MS)
    for _ in range(40):
        subject.learn(8, 200 * NS_PER_MS)
    assert subject.max_batch_rows < 8


def test_learn_looks_at_few_of_the_cheap_batches() -> None:
    subject = admission(batch_ms=0.1)
    before = subject._cost.batch_ns(8)
    subject.learn(8, 400_000)
    first = subject._cost.batch_ns(8)
    for _ in range(CHEAP_SAMPLING - 1):
        subject.learn(8, 400_000)
    assert before < first == subject._cost.batch_ns(8)
