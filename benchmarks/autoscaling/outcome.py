"""What a simulation comes to: latency, replicas, money; and the same for a fixed number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import msgspec
import numpy as np

from benchmarks.autoscaling.capacity import Capacity
from benchmarks.autoscaling.simulate import Answers, Second
from benchmarks.cost.spec import Instance, Prices
from serve.config import ModelConfig

__all__ = [
    "Figures",
    "Machines",
    "Slice",
    "figures",
    "fixed_replicas",
    "quantile_ms",
    "slices",
]

SLICES = 240
HOUR_S = 3600
HALVINGS = 40


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Of the whole trace. Money is for the machines alone, as the price file has them."""

    seconds: int
    asked: float
    refused: float
    late: float
    """Answered, and slower than the latency target; 0 without one."""
    p50_ms: float | None
    """Of what was answered; None: nothing was."""
    p99_ms: float | None
    replicas_mean: float
    replicas_most: int
    changes: int
    """How often replicas were started or ended."""
    machine_hours: float
    usd: float
    usd_per_month: float
    """If every hour of a month were like these."""
    usd_per_million: float | None
    """Of what was answered."""


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the trace: means, but for ``refused``, the latencies and the most ``paid``."""

    start_s: int
    asked_per_s: float
    ready: float
    paid: float
    capacity_per_s: float
    refused_per_s: float
    p50_ms: float | None
    p99_ms: float | None
    usd_per_hour: float


class Machines(msgspec.Struct, frozen=True):
    """What replicas run on: a kind of machine, and how many of them one has room for."""

    instance: Instance
    replicas: int = 1

    def number(self, replicas: int) -> int:
        """Machines for so many."""
        return math.ceil(replicas / self.replicas)


def quantile_ms(answers: Sequence[Answers], part: float) -> float | None:
    """Milliseconds within which such a part was answered; None: there was no answer."""
    table = np.array([(a.count, a.base_s, a.waits, a.mean_s) for a in answers if a.count > 0])
    if not len(table):
        return None
    count, base, waits, mean = table.T
    total = count.sum()
    mean = np.maximum(mean, 1e-12)

    def later(limit_s: float) -> float:
        over = limit_s - base
        tail = np.where(over < 0, 1.0, waits * np.exp(-np.maximum(over, 0.0) / mean))
        return float((count * tail).sum() / total)

    low, high = 0.0, float(base.max() + 50 * mean.max())
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if later(middle) > 1 - part else (low, middle)
    return high * 1e3


def fixed_replicas(peak_per_s: float, capacity: Capacity, config: ModelConfig) -> int:
    """Replicas that carry the peak all the time, at the utilisation that the settings want."""
    share = config.autoscaling.target_utilisation
    return max(1, math.ceil(peak_per_s / (capacity.per_s * share) - 1e-9))


def figures(
    seconds: Sequence[Second], config: ModelConfig, machines: Machines, prices: Prices
) -> Figures:
    """Everything of a simulation in one row."""
    answers = [one for second in seconds for one in second.answers]
    target_s = (config.slo.latency_ms or math.inf) / 1e3
    paid = [second.paid for second in seconds]
    machine_hours = sum([machines.number(count) for count in paid]) / HOUR_S
    usd = machine_hours * machines.instance.usd_per_hour
    answered = sum([one.count for one in answers])
    return Figures(
        seconds=len(seconds),
        asked=sum([second.asked for second in seconds]),
        refused=sum([second.refused for second in seconds]),
        late=sum([one.later_than(target_s) for one in answers]),
        p50_ms=quantile_ms(answers, 0.5),
        p99_ms=quantile_ms(answers, 0.99),
        replicas_mean=sum(paid) / len(paid),
        replicas_most=max(paid),
        changes=sum([one != other for one, other in pairwise(paid)]),
        machine_hours=machine_hours,
        usd=usd,
        usd_per_month=usd / len(seconds) * HOUR_S * prices.hours_per_month,
        usd_per_million=usd / answered * 1e6 if answered else None,
    )


def slices(
    seconds: Sequence[Second], capacity: Capacity, machines: Machines, most: int = SLICES
) -> list[Slice]:
    """The trace in at most so many parts, for plots and people."""
    size = math.ceil(len(seconds) / most)
    return [
        _slice(start, seconds[start : start + size], capacity, machines)
        for start in range(0, len(seconds), size)
    ]


def _slice(start: int, seconds: Sequence[Second], capacity: Capacity, machines: Machines) -> Slice:
    answers = [one for second in seconds for one in second.answers]
    ready = _mean([second.ready for second in seconds])
    return Slice(
        start_s=start,
        asked_per_s=_mean([second.asked for second in seconds]),
        ready=ready,
        paid=_mean([second.paid for second in seconds]),
        capacity_per_s=ready * capacity.per_s,
        refused_per_s=_mean([second.refused for second in seconds]),
        p50_ms=quantile_ms(answers, 0.5),
        p99_ms=quantile_ms(answers, 0.99),
        usd_per_hour=_mean([machines.number(second.paid) for second in seconds])
        * machines.instance.usd_per_hour,
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
