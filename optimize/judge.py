"""From what was measured to gates, and from candidates that pass to the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from optimize.gates import Gate, Verdict, verdict_of
from optimize.plan import Candidate
from optimize.settings import Gates

__all__ = ["Trial", "best", "speed_gates"]

MB = 1e6
ALIKE = 1.03
"""Within this factor two measurements say nothing, and the simpler candidate is better."""
FEWEST_WINDOWS = 5
"""So many windows on one side of a limit decide, however far they are from one another."""


@dataclass
class Trial:
    """A candidate with what is known of it; ``skipped`` says why it was not tried at all."""

    candidate: Candidate
    gates: list[Gate] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, Any] = field(default_factory=dict)
    profile: dict[str, Any] = field(default_factory=dict)
    distil: dict[str, Any] = field(default_factory=dict)
    sensitivity: list[dict[str, Any]] = field(default_factory=list)
    skipped: str = ""
    artefact_key: str = ""

    @property
    def verdict(self) -> Verdict:
        """Whether it may be packaged."""
        return "fail" if self.skipped else verdict_of(self.gates)

    def row(self, batch: int) -> dict[str, Any]:
        """Its profile at a batch size, or at the nearest one measured."""
        return min(self.typical_rows(), key=lambda row: abs(row["batch"] - batch))

    def typical_rows(self) -> list[dict[str, Any]]:
        """Its profile for rows of the typical length, where they vary in length."""
        length = self.profile["typical_length"]
        return [row for row in self.profile["rows"] if row["length"] == length]


def speed_gates(trial: Trial, baseline_bytes: int, limits: Gates) -> list[Gate]:
    """The gates of a profile. What did not settle is inconclusive, unless it is all on one side."""
    row, profile = trial.row(limits.at_batch), trial.profile
    gates = []
    if limits.max_latency_ms is not None:
        p95_ms = row["p95_ns"] / 1e6
        gates.append(_at_most("latency p95 ms", p95_ms, limits.max_latency_ms, row["stable"]))
    if limits.min_speedup is not None:
        speedup = row.get("original_speedup", row["speedup"])
        windows = row.get("original_windows", row["windows"])
        stable = row["stable"] and row.get("original_stable", True)
        gates.append(_at_least("speed-up", speedup, limits.min_speedup, stable, windows))
    if limits.max_size_mb is not None:
        gates.append(_at_most("size MB", profile["size_bytes"] / MB, limits.max_size_mb))
    if limits.max_memory_mb is not None:
        gates.append(_at_most("memory MB", profile["memory_bytes"] / MB, limits.max_memory_mb))
    if trial.candidate.lossy:
        shrink = baseline_bytes / max(profile["size_bytes"], 1)
        if shrink >= limits.lossy_shrink:
            gates.append(
                Gate("worth its loss", "pass", limits.lossy_shrink, shrink, detail="smaller")
            )
        else:
            found = _at_least(
                "worth its loss",
                row["speedup"],
                limits.lossy_speedup,
                row["stable"],
                row["windows"],
            )
            detail = f"{row['speedup']:.2f} × faster, {shrink:.2f} × smaller than the export"
            gates.append(Gate(found.name, found.verdict, found.limit, found.value, detail=detail))
    return gates


def best(trials: Sequence[Trial], objective: str, at_batch: int) -> Trial | None:
    """The best of those that pass; of candidates as good as each other, the first tried."""
    chosen: Trial | None = None
    for trial in trials:
        if trial.verdict == "pass" and (
            chosen is None
            or _merit(trial, objective, at_batch) > ALIKE * _merit(chosen, objective, at_batch)
        ):
            chosen = trial
    return chosen


def _merit(trial: Trial, objective: str, at_batch: int) -> float:
    """More is better. Speeds are ratios to the same baseline, which a busy machine leaves alone."""
    if objective == "size":
        return 1 / max(float(trial.profile["size_bytes"]), 1.0)
    if objective == "throughput":
        return max(
            float(row["speedup"] * row["batch"] / row["baseline_p50_ns"])
            for row in trial.typical_rows()
        )
    return float(trial.row(at_batch)["speedup"])


def _at_most(name: str, value: float, limit: float, stable: bool = True) -> Gate:
    if not stable:
        return Gate(name, "inconclusive", limit, value, detail="the measurement did not settle")
    return Gate(name, "pass" if value <= limit else "fail", limit, value)


def _at_least(
    name: str, value: float, limit: float, stable: bool, windows: Sequence[float]
) -> Gate:
    one_sided = min(windows) >= limit or max(windows) < limit
    if not stable and not (one_sided and len(windows) >= FEWEST_WINDOWS):
        return Gate(name, "inconclusive", limit, value, detail="the measurement did not settle")
    return Gate(name, "pass" if value >= limit else "fail", limit, value)
