"""The scheduler's two decisions, as pure functions: admit a request? what leaves now?

Both take plain numbers and give a plain answer, so that they are tested with tables and can be
simulated without a server. Times are monotonic nanoseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from serve.scheduling.cost import CostModel

__all__ = ["Limits", "Load", "Refusal", "admit", "batch_limit", "left_ns", "wait_ns", "work_ns"]

HEADROOM = 0.5
"""Share of a latency budget that a prediction may fill: it is a mean, and promises are p99."""
BATCH_SHARE = 0.4
"""Share of the latency target that one batch may take, so that waiting for it leaves room."""
QUICK_NS = 400_000
"""A batch that takes less is not divided: what surrounds it costs as much as running it."""
PAYS = 0.95
"""Waiting for twice the rows pays if it brings the cost of a row below this share of today's."""


class Reason(StrEnum):
    """Why a request is refused; the value is a metric label."""

    QUEUE_FULL = "queue_full"
    DEADLINE = "deadline"
    SLO = "slo"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model's settings allow. ``slo_ns`` 0: no latency target."""

    max_batch_rows: int
    max_queue_rows: int
    max_delay_ns: int = 0
    preferred_rows: tuple[int, ...] = ()
    slo_ns: int = 0


@dataclass(slots=True)
class Load:
    """What is ahead of a new request: rows that wait, and the time until a slot is free.

    ``slots``: batches that run at the same time; 0: nobody runs any just now.
    """

    queued_rows: int
    running: int
    running_left_ns: int
    slots: int = 1


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not, and when it may be worth another try."""

    reason: Reason
    predicted_ns: int
    retry_after_ns: int


def left_ns(batches: Sequence[tuple[int, int]], slots: int) -> int:
    """Time until batches that were sent, each (age, expected), leave a slot to the next one.

    The first ``slots`` of them execute, the others are ready and wait for those. An overdue
    batch is taken to need half as long again as it has run. Without slots nobody knows: 0.
    """
    if not slots:
        return 0
    rests = [
        expected_ns - age_ns if age_ns < expected_ns else age_ns // 2
        for age_ns, expected_ns in batches[:slots]
    ]
    return min(rests) + sum([expected_ns for _, expected_ns in batches[slots:]]) // slots


def predicted_ns(rows: int, load: Load, cost: CostModel, limits: Limits) -> int:
    """Time until a request that comes now is answered: what runs, what waits, itself."""
    waiting = load.queued_rows + rows
    best = batch_limit(cost, limits)
    work = work_ns(waiting, best, cost)
    if waiting > best:
        work //= max(1, load.slots)
    return load.running_left_ns + work


def work_ns(rows: int, batch_rows: int, cost: CostModel) -> int:
    """Time in which one slot executes so many rows, in batches of ``batch_rows``."""
    batches, rest = divmod(rows, batch_rows)
    work = batches * cost.batch_ns(batch_rows) if batches else 0
    return work + cost.batch_ns(rest) if rest else work


def admit(
    now_ns: int,
    rows: int,
    deadline_ns: int,
    load: Load,
    cost: CostModel,
    limits: Limits,
) -> Refusal | None:
    """Refuse what would be late, and what no queue should hold.

    A server with nothing to do always accepts: otherwise an estimate that is too high could
    refuse everything, and would never be put right.
    """
    if not load.queued_rows and not load.running:
        return None
    predicted = predicted_ns(rows, load, cost, limits)
    if load.queued_rows + rows > limits.max_queue_rows:
        return Refusal(Reason.QUEUE_FULL, predicted, predicted)
    if predicted > (deadline_ns - now_ns) * HEADROOM:
        return Refusal(Reason.DEADLINE, predicted, predicted)
    if limits.slo_ns and predicted > limits.slo_ns * HEADROOM:
        excess = predicted - int(limits.slo_ns * HEADROOM)
        return Refusal(Reason.SLO, predicted, excess)
    return None


def batch_limit(cost: CostModel, limits: Limits) -> int:
    """Most rows that the next batch should have.

    That is the size with the most rows a second: larger ones only make their rows wait, unless
    all of it takes next to no time. A latency target lowers it, until a batch takes no more than
    its share of the target.
    """
    rows = min(limits.max_batch_rows, cost.efficient_rows)
    while rows < limits.max_batch_rows and cost.batch_ns(rows * 2) <= QUICK_NS:
        rows = min(rows * 2, limits.max_batch_rows)
    if limits.slo_ns:
        share_ns = int(limits.slo_ns * BATCH_SHARE)
        while rows > 1 and cost.batch_ns(rows) > share_ns:
            rows //= 2
    return rows


def wait_ns(
    now_ns: int,
    rows: int,
    oldest_ns: int,
    deadline_ns: int,
    cost: CostModel,
    limits: Limits,
) -> int:
    """How long a batch of ``rows`` rows should still wait for more, while a slot is free; 0: go.

    It waits only where the settings allow a delay, a fuller batch is cheaper by the row, and the
    oldest entry (queued at ``oldest_ns``, due at ``deadline_ns``) can spare the time.
    """
    if not limits.max_delay_ns:
        return 0
    target = batch_limit(cost, limits)
    if rows >= target or rows in limits.preferred_rows:
        return 0
    doubled = min(rows * 2, target)
    if cost.batch_ns(doubled) / doubled > PAYS * cost.batch_ns(rows) / rows:
        return 0
    delay_left = oldest_ns + limits.max_delay_ns - now_ns
    slack = deadline_ns - now_ns - cost.batch_ns(target)
    return max(0, min(delay_left, slack))
