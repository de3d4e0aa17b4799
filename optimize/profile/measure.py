"""Latency of a candidate and its baselines, in turns, until it is stable or cannot be told.

Runs take turns, window by window, because what a neighbour does to the machine then happens to all
of them alike: their ratio is known long before either of their times is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from serve.clock import monotonic_ns

__all__ = ["Timing", "measure"]

Run = Callable[[], object]

WINDOW_NS = 30_000_000
MIN_CALLS = 5
AGREEING = 3
"""So many windows in a row must agree."""
MAX_WINDOWS = 24
ENOUGH_CALLS, ENOUGH_NS = 100, 2_000_000_000
"""Percentiles want more calls than the ratio does, but not for longer than this."""
GIVE_UP_NS = 30_000_000_000
WARM_UP_CALLS = 3


@dataclass(frozen=True)
class Timing:
    """Nanoseconds of one kind of call; ``stable`` is whether its ratio to the first one was."""

    count: int
    p50_ns: float
    p95_ns: float
    p99_ns: float
    ratio: float
    stable: bool
    windows: list[float] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """All of it, for files."""
        return asdict(self)


def measure(
    runs: Mapping[str, Run],
    spread: float = 0.08,
    clock: Callable[[], int] = monotonic_ns,
    window_ns: int = WINDOW_NS,
    enough_calls: int = ENOUGH_CALLS,
) -> dict[str, Timing]:
    """Time every run in turns; ``ratio`` is the first one's median divided by its own.

    A run is stable when the ratios of the last windows are within ``spread`` of one another. All
    are measured until all are stable and were called often enough, or ``MAX_WINDOWS`` or
    ``GIVE_UP_NS`` are over.
    """
    names = list(runs)
    start_ns = clock()
    for run in runs.values():
        for _ in range(WARM_UP_CALLS):
            run()
    samples: dict[str, list[int]] = {name: [] for name in names}
    ratios: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(MAX_WINDOWS):
        medians = {}
        for name, run in runs.items():
            took = _window(run, clock, window_ns)
            samples[name] += took
            medians[name] = float(np.median(took))
        for name in names:
            ratios[name].append(medians[names[0]] / max(medians[name], 1.0))
        took_ns = clock() - start_ns
        calls = min(len(each) for each in samples.values())
        agreed = all(_agree(each, spread) for each in ratios.values())
        if (agreed and (calls >= enough_calls or took_ns > ENOUGH_NS)) or took_ns > GIVE_UP_NS:
            break
    timings = {}
    for name in names:
        p50, p95, p99 = np.percentile(samples[name], (50, 95, 99))
        timings[name] = Timing(
            len(samples[name]),
            float(p50),
            float(p95),
            float(p99),
            float(np.median(ratios[name])),
            _agree(ratios[name], spread),
            ratios[name],
        )
    return timings


def _window(run: Run, clock: Callable[[], int], window_ns: int) -> list[int]:
    took: list[int] = []
    end = clock() + window_ns
    while len(took) < MIN_CALLS or clock() < end:
        start = clock()
        run()
        took.append(clock() - start)
    return took


def _agree(ratios: list[float], spread: float) -> bool:
    last = ratios[-AGREEING:]
    return len(last) == AGREEING and max(last) <= (1 + spread) * min(last)
