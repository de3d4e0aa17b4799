"""What one LoadGen run is told, and what it says; the two ends of a subprocess.

LoadGen cannot be interrupted once it runs, so each run is a process that can be ended.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from benchmarks.loadgen.spec import LoadSpec

__all__ = ["SCENARIOS", "Job", "Outcome", "Scenario"]

Scenario = Literal["Server", "SingleStream", "Offline"]
SCENARIOS: tuple[Scenario, ...] = ("Server", "SingleStream", "Offline")


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One LoadGen run."""

    scenario: Scenario
    spec: LoadSpec
    """Target, payloads and connections; its load is LoadGen's business."""
    folder: str
    """Where LoadGen writes its logs."""
    duration_s: float
    rate_per_s: float
    """Server: the arrivals; Offline: how many samples are asked at once, a second of duration."""
    slo_ms: float
    seed: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What LoadGen found."""

    scenario: Scenario
    valid: bool
    reasons: tuple[str, ...]
    """LoadGen's own, where it is not valid, and answers that were none."""
    failed: int
    """Requests without a good answer, which LoadGen counts as answered."""
    per_s: float
    """Samples completed a second."""
    p50_ms: float
    p90_ms: float
    p99_ms: float
