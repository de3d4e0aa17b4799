"""The shapes that a load has over time, as phases of an open-loop run."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.loadgen.spec import Phase

__all__ = ["ramp", "steady", "steps"]


def steady(rate_per_s: float, duration_s: float, warmup_s: float = 0.0) -> tuple[Phase, ...]:
    """One rate; what is sent while warming up does not count."""
    phase = Phase("steady", rate_per_s, duration_s)
    if warmup_s <= 0:
        return (phase,)
    return Phase("warmup", rate_per_s, warmup_s, measured=False), phase


def ramp(from_per_s: float, to_per_s: float, duration_s: float) -> tuple[Phase, ...]:
    """Evenly more (or fewer) requests a second."""
    return (Phase("ramp", from_per_s, duration_s, end_rate_per_s=to_per_s),)


def steps(rates_per_s: Sequence[float], each_s: float) -> tuple[Phase, ...]:
    """One rate after the other; the phases are called by their rates."""
    return tuple(
        Phase(f"{number}: {rate:g}/s", rate, each_s) for number, rate in enumerate(rates_per_s, 1)
    )
