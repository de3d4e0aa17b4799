"""Was the machine quiet enough? Before a run, and during an attempt."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from benchmarks.gates.spec import Noise
from benchmarks.machine import ForeignLoad
from benchmarks.measurement import NoiseSample

__all__ = ["disturbance", "foreign_share", "preflight", "psi_some"]

PROBE_S = 2.0


def foreign_share(samples: Sequence[NoiseSample]) -> float:
    """Part of the machine that others used on average; NaN where it was not watched."""
    return _mean([sample.foreign_share for sample in samples])


def psi_some(samples: Sequence[NoiseSample]) -> float:
    """CPU pressure on average; NaN where the kernel does not tell."""
    return _mean([sample.psi_some for sample in samples])


def disturbance(samples: Sequence[NoiseSample], limits: Noise) -> str:
    """Why the machine was too noisy to judge speed, in words; empty if it was quiet."""
    share = foreign_share(samples)
    if share > limits.foreign_max:
        return (
            f"others used {share:.0%} of the machine meanwhile, more than the"
            f" {limits.foreign_max:.0%} allowed"
        )
    pressure = psi_some(samples)
    if limits.psi_some_max is not None and pressure > limits.psi_some_max:
        return f"CPU pressure was {pressure:.0%}, more than the {limits.psi_some_max:.0%} allowed"
    return ""


def preflight(
    limits: Noise,
    probe: Callable[[], float] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[float, ...]:
    """How busy the machine was in each probe before the start; the last one is what it began with.

    Ends at the first probe below the limit, or when the time to wait is over.
    """
    probe = probe or _busy_share
    until_s = clock() + limits.preflight_wait_s
    seen = [probe()]
    while seen[-1] > limits.preflight_busy_max and clock() < until_s:
        seen.append(probe())
    return tuple(seen)


def _busy_share() -> float:
    """Part of the machine in use by others over the next two seconds."""
    foreign = ForeignLoad()
    time.sleep(PROBE_S)
    return round(foreign.share(0.0), 3)


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
