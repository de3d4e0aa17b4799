"""The verdict on candidate / baseline."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from benchmarks.gates.findings import Finding
from benchmarks.gates.spec import Gate
from benchmarks.gates.statistics import RatioInterval, paired_ratio
from benchmarks.gates.verdict import Verdict
from benchmarks.measurement import Round

__all__ = ["judge_ratio", "pairs_of"]

FAMILY_CONFIDENCE = 0.95
MIN_PAIRS = 8
"""Fewer pairs of rounds decide nothing."""


def pairs_of(
    rounds: Sequence[Round], metric: str, *, only_quiet: bool = False
) -> list[tuple[int, float, float]]:
    """Number, candidate and baseline of every round that both ran and measured."""
    sides: dict[str, dict[int, Round]] = {"candidate": {}, "baseline": {}}
    for one in rounds:
        if metric in one.metrics and (one.quiet or not only_quiet):
            sides[one.contender][one.number] = one
    candidate, baseline = sides["candidate"], sides["baseline"]
    return [
        (number, candidate[number].metrics[metric], baseline[number].metrics[metric])
        for number in sorted(candidate.keys() & baseline.keys())
    ]


def judge_ratio(blank: Finding, gate: Gate, rounds: Sequence[Round], *, ratios: int) -> Finding:
    """Fail when the whole interval is beyond the limit, pass when all of it is inside."""
    pairs = pairs_of(rounds, gate.metric, only_quiet=gate.needs_quiet)
    of_rounds = len(pairs_of(rounds, gate.metric))
    if len(pairs) < MIN_PAIRS:
        kind = "quiet " if gate.needs_quiet else ""
        return blank.ended(
            Verdict.INVALID,
            f"{len(pairs)} of {of_rounds} pairs of rounds were {kind}usable, of at least"
            f" {MIN_PAIRS}",
        )
    starts = {one.number: one.start for one in rounds}
    family = gate.confidence or FAMILY_CONFIDENCE
    try:
        seen = paired_ratio(
            [candidate for _, candidate, _ in pairs],
            [baseline for _, _, baseline in pairs],
            [starts[number] for number, _, _ in pairs],
            confidence=1 - (1 - family) / max(1, ratios),
        )
    except ValueError as error:
        return blank.ended(Verdict.INVALID, str(error))
    verdict, words = _decide(gate, seen)
    found = msgspec.structs.replace(
        blank, value=seen.ratio, low=seen.low, high=seen.high, pairs=seen.pairs
    )
    share = f" (each of {ratios} ratios at {seen.confidence:.1%})" if ratios > 1 else ""
    return found.ended(
        verdict,
        f"{words}: {seen.ratio:.3f} × the baseline, between {seen.low:.3f} and {seen.high:.3f}"
        f" at {family:.0%} confidence{share} from {seen.pairs} pairs of {seen.starts} starts",
    )


def _decide(gate: Gate, seen: RatioInterval) -> tuple[Verdict, str]:
    if gate.max_ratio is not None:
        if seen.low > gate.max_ratio:
            return Verdict.FAIL, "missed"
        if seen.high <= gate.max_ratio:
            return Verdict.PASS, "kept"
    else:
        assert gate.min_ratio is not None
        if seen.high < gate.min_ratio:
            return Verdict.FAIL, "missed"
        if seen.low >= gate.min_ratio:
            return Verdict.PASS, "kept"
    return Verdict.INCONCLUSIVE, "the interval holds the limit"
