"""From a measurement and its gates to verdicts, each with the reason in plain words."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.gates.distribution import Distribution
from benchmarks.gates.findings import Finding
from benchmarks.gates.noise import disturbance
from benchmarks.gates.ratio import judge_ratio
from benchmarks.gates.spec import Gate, Noise
from benchmarks.gates.statistics import (
    early_stopping_floor,
    keeps_percentile,
    misses_percentile,
)
from benchmarks.gates.verdict import Verdict
from benchmarks.measurement import Measurement

__all__ = ["Judge"]

COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": lambda value, limit: value < limit,
    "<=": lambda value, limit: value <= limit,
    ">": lambda value, limit: value > limit,
    ">=": lambda value, limit: value >= limit,
}
PERCENTILE_CONFIDENCE = 0.99


@dataclass(frozen=True, slots=True)
class Judge:
    """What is the same for every gate of a run."""

    noise: Noise
    ratios: int = 1
    """How many ratios the file judges: their confidence is shared (Bonferroni)."""
    with_baseline: bool = True
    other_hardware: str = ""
    """How this machine differs from the one the limits are for; empty if it does not."""

    def findings(self, gates: tuple[Gate, ...], measured: Measurement) -> tuple[Finding, ...]:
        """One finding a gate, in their order."""
        return tuple(self.finding(gate, measured) for gate in gates)

    def finding(self, gate: Gate, measured: Measurement) -> Finding:
        """The verdict on one gate."""
        blank = Finding.of(gate, value=measured.metrics.get(gate.metric, math.nan))
        if measured.invalid:
            return blank.ended(Verdict.INVALID, "; ".join(measured.invalid))
        if measured.inconclusive:
            return blank.ended(Verdict.INCONCLUSIVE, "; ".join(measured.inconclusive))
        if gate.metric not in measured.metrics:
            return blank.ended(
                Verdict.ERROR,
                f"{measured.scenario} measured no {gate.metric}; it has"
                f" {', '.join(sorted(measured.metrics))}",
            )
        if gate.is_relative and not self.with_baseline:
            return blank.ended(Verdict.SKIPPED, "not judged: there was no baseline")
        if gate.is_relative:
            found = judge_ratio(blank, gate, measured.rounds, ratios=self.ratios)
            # The rounds were chosen to be quiet, so the attempt as a whole need not be.
            noisy = found.reason if found.verdict is Verdict.INVALID else ""
        else:
            found = _absolute(blank, gate, measured)
            noisy = self._why_not_absolute(gate, measured)
        return self._under_noise(found, gate, noisy) if noisy else found

    def _why_not_absolute(self, gate: Gate, measured: Measurement) -> str:
        if not gate.needs_quiet:
            return ""
        return self.other_hardware or disturbance(measured.noise, self.noise)

    def _under_noise(self, found: Finding, gate: Gate, noisy: str) -> Finding:
        """What a gate that needs quiet is without it."""
        policy = gate.on_noisy or self.noise.on_noisy
        if policy == "skip":
            return found.ended(Verdict.SKIPPED, f"not judged: {noisy}")
        if policy == "keep_passes" and found.verdict is Verdict.PASS:
            return found.ended(Verdict.PASS, f"{found.reason}, although {noisy}")
        return found.ended(Verdict.INVALID, noisy)


def _absolute(blank: Finding, gate: Gate, measured: Measurement) -> Finding:
    assert gate.op is not None and gate.value is not None
    value = measured.metrics[gate.metric]
    if not math.isfinite(value):
        return blank.ended(Verdict.INVALID, f"{gate.metric} could not be measured")
    if gate.method == "early_stopping":
        return _early_stopping(blank, gate, measured)
    met = COMPARE[gate.op](value, gate.value)
    return blank.ended(
        Verdict.PASS if met else Verdict.FAIL,
        "kept" if met else f"missed by {_distance(value, gate.value)}",
    )


def _distance(value: float, limit: float) -> str:
    if not limit:
        return f"{abs(value):.3g}"
    part = abs(value / limit - 1)
    return f"{part:.1%}" if part >= 0.001 else "less than 0.1%"


def _early_stopping(blank: Finding, gate: Gate, measured: Measurement) -> Finding:
    """Requests that got no good answer are over every bound: no server may drop the slow ones."""
    assert gate.value is not None and gate.percentile is not None
    if not measured.histogram:
        return blank.ended(Verdict.ERROR, "the scenario kept no histogram to count from")
    seen = Distribution.decode(measured.histogram)
    queries = max(seen.total, round(measured.metrics.get("requests", seen.total)))
    over = seen.above(gate.value, inclusive=gate.op == "<") + queries - seen.total
    percentile, confidence = gate.percentile, gate.confidence or PERCENTILE_CONFIDENCE
    counted = f"{over:,} of {queries:,} requests over {gate.value:g} ms"
    if keeps_percentile(over, queries, percentile, confidence):
        return blank.ended(Verdict.PASS, f"kept at {confidence:.0%} confidence: {counted}")
    if misses_percentile(over, queries, percentile, confidence):
        return blank.ended(Verdict.FAIL, f"missed at {confidence:.0%} confidence: {counted}")
    floor = early_stopping_floor(over, percentile, confidence)
    return blank.ended(
        Verdict.INCONCLUSIVE, f"{counted}: to be sure takes {floor:,} requests with as many over"
    )
