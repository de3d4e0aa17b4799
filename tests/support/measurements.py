"""Measurements as scenarios hand them back, made up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hdrh.histogram import HdrHistogram

from benchmarks.measurement import CurvePoint, Measurement, NoiseSample, Round, Slice

PAIRS_A_START = 3
"""Of ``rounds``."""


def histogram(values_ms: Sequence[float]) -> str:
    """An HdrHistogram of these latencies."""
    recorded = HdrHistogram(1, 3_600_000_000, 3)
    values, counts = np.unique(np.rint(np.array(values_ms) * 1e3), return_counts=True)
    for value, count in zip(values, counts, strict=True):
        recorded.record_value(int(value), int(count))
    return bytes(recorded.encode()).decode()


def noise(foreign_share: float, psi_some: float = 0.2, seconds: int = 5) -> tuple[NoiseSample, ...]:
    return tuple(NoiseSample(float(at), foreign_share, psi_some) for at in range(seconds))


def measurement(metrics: dict[str, float] | None = None, **changes: Any) -> Measurement:
    """One honest attempt on a quiet machine."""
    fields: dict[str, Any] = {
        "scenario": "server_fixed",
        "params": {"rate": 1000},
        "metrics": metrics if metrics is not None else {"latency_ms.p99": 12.0, "error_rate": 0.0},
        "noise": noise(0.01),
        "duration_s": 5.0,
    }
    return Measurement(**{**fields, **changes})


def rounds(
    metric: str,
    ratio: float = 1.0,
    *,
    spread: float = 0.05,
    count: int = 24,
    seed: int = 0,
    quiet: bool = True,
) -> tuple[Round, ...]:
    """Interleaved rounds whose pairs share a drift and have noise of their own (relative)."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        common = 30 * float(np.exp(rng.normal(0, 0.2)))
        for contender, factor in (("candidate", ratio), ("baseline", 1.0)):
            value = common * factor * float(np.exp(rng.normal(0, spread)))
            made.append(
                Round(
                    contender=contender,
                    number=number,
                    start=number // PAIRS_A_START,
                    metrics={metric: value},
                    quiet=quiet,
                )
            )
    return tuple(made)


def full_measurement(seed: int = 0) -> Measurement:
    """One with everything that a report can draw."""
    rng = np.random.default_rng(seed)
    latencies = rng.lognormal(0.7, 0.6, 20_000)
    p50, p99 = (float(np.percentile(latencies, rank)) for rank in (50, 99))
    timeline = []
    for second in range(20):
        part = latencies[second * 1000 : second * 1000 + 1000]
        slow = 3.0 if second == 9 else 1.0
        timeline.append(
            Slice(
                start_s=float(second),
                offered=1000,
                ok=1000 if second != 9 else 950,
                refused=0 if second != 9 else 40,
                failed=0 if second != 9 else 10,
                p50_ms=float(np.percentile(part, 50)) * slow,
                p99_ms=float(np.percentile(part, 99)) * slow,
                max_ms=float(part.max()) * slow,
            )
        )
    curve = tuple(
        CurvePoint(
            x=rate,
            achieved_per_s=min(rate, 9_300.0),
            p50_ms=1.0 + rate / 8000,
            p99_ms=3.0 + (rate / 2600) ** 3,
            verdict="kept" if rate < 8_000 else "missed" if rate < 9_500 else "invalid",
        )
        for rate in (1000.0, 2000.0, 4000.0, 6000.0, 7500.0, 8500.0, 9800.0)
    )
    return measurement(
        {
            "latency_ms.p50": p50,
            "latency_ms.p99": p99,
            "latency_ms.max": float(latencies.max()),
            "rate_per_s.offered": 1000.0,
            "rate_per_s.achieved": 998.0,
            "error_rate": 0.0005,
            "requests": 20_000.0,
            "server_cpu_us_per_req": 31.4,
        },
        histogram=histogram(latencies),
        timeline=tuple(timeline),
        curve=curve,
        batch_rows={1: 4200, 2: 2600, 4: 1900, 8: 700, 16: 120, 32: 14},
        noise=tuple(
            NoiseSample(float(at), float(share), float(psi))
            for at, share, psi in zip(
                range(20), rng.uniform(0, 0.12, 20), rng.uniform(0.1, 0.5, 20), strict=True
            )
        ),
        rounds=rounds("server_cpu_us_per_req", 1.02, seed=seed),
        duration_s=20.0,
        notes=("a note of the scenario",),
    )
