"""What people are told of a model's traffic: the rules, and how each version fares under them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from serve.config import ModelConfig
from serve.traffic.rules import Rules, current, effective
from serve.traffic.samples import Sample, quantile_bin, score_of_bin
from serve.traffic.shift import distance
from serve.traffic.state import ModelState, Rollout
from serve.traffic.sums import VersionSeen
from serve.traffic.verdict import Verdict

__all__ = ["ArmReport", "ModelTraffic", "OutcomeReport", "ShadowReport", "traffic_report"]


class ShadowReport(msgspec.Struct, frozen=True, kw_only=True):
    """How a shadow's answers compare. ``agreement``: share of those compared; ``mean_distance``,
    ``max_distance``: largest difference of numbers in an answer; ``latency_ratio``: its execution
    time over that of the requests that were copied."""

    compared: int
    failed: int
    dropped: int
    agreement: float | None
    mean_distance: float | None
    max_distance: float
    latency_ratio: float | None


class OutcomeReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of predictions: mean, and its standard error where there are two at least."""

    number: int
    mean: float
    standard_error: float | None


class ArmReport(msgspec.Struct, frozen=True, kw_only=True):
    """One version, counted since the servers that answer were started.

    ``weight``: its share of the requests that name no version, 0 to 1. ``stood_in``: those it was
    given in place of a version that was not ready; ``unkeyed``: those it was given by chance, for
    want of what callers are told apart by. ``scores``: the 10th, 50th and 90th percentile;
    ``score_distance``: to those of the version that answers by default, of Kolmogorov and Smirnov,
    0 to 1.
    """

    name: str
    version: int
    weight: float
    state: str
    reason: str = ""
    requests: int
    errors: int
    refusals: int
    stood_in: int = 0
    unkeyed: int = 0
    p50_ms: float | None
    p99_ms: float | None
    scores: tuple[float, float, float] | None = None
    score_distance: float | None = None
    shadow: ShadowReport | None = None
    outcomes: OutcomeReport | None = None


class ModelTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """The traffic of a model. ``overruled``: rules that were set before ``model.yaml`` changed."""

    model: str
    revision: int
    labels: Mapping[str, int]
    default: int
    arms: tuple[ArmReport, ...]
    sticky: Mapping[str, Any] | None = None
    shadow: Mapping[str, Any] | None = None
    from_model_yaml: bool = True
    overruled: bool = False
    rollout: Rollout | None = None
    verdicts: tuple[Verdict, ...] = ()


def traffic_report(
    model: str,
    config: ModelConfig,
    state: ModelState,
    rules: Rules,
    seen: Mapping[int, VersionSeen],
    sample: Callable[[int], Sample],
    verdicts: tuple[Verdict, ...],
    revision: int,
) -> ModelTraffic:
    """Put together what is known; ``sample`` gives the counts of a version."""
    counts = current(config, state)
    labels, traffic = effective(config, state)
    ready = [version for version, each in seen.items() if each.state == "READY"]
    default = rules.default or max(ready, default=0)
    base = sample(default)
    names = {arm.version: arm.name for arm in rules.arms}
    weights = {arm.version: arm.weight for arm in rules.arms} or {default: 1.0}
    shown = sorted({*weights, *rules.watched, *ready, *labels.values()} - {0})
    return ModelTraffic(
        model=model,
        revision=revision,
        labels=labels,
        default=default,
        arms=tuple(
            _arm(
                version,
                names.get(version) or _label(version, labels),
                weights.get(version, 0.0),
                seen.get(version),
                sample(version),
                base if version != default else None,
                shadows=version == rules.shadow_version,
            )
            for version in shown
        ),
        sticky=None if traffic.sticky is None else traffic.sticky.model_dump(exclude_none=True),
        shadow=None if traffic.shadow is None else traffic.shadow.model_dump(),
        from_model_yaml=counts.labels is None and counts.traffic is None,
        overruled=counts != state,
        rollout=state.rollout,
        verdicts=verdicts,
    )


def _label(version: int, labels: Mapping[str, int]) -> str:
    return next((label for label, number in labels.items() if number == version), str(version))


def _arm(
    version: int,
    name: str,
    weight: float,
    seen: VersionSeen | None,
    sample: Sample,
    base: Sample | None,
    *,
    shadows: bool,
) -> ArmReport:
    copies = sample.compared + sample.shadow_failed + sample.dropped
    scores = [_score_quantile(sample.scores, share) for share in (0.1, 0.5, 0.9)]
    apart = base is not None and sample.scores and base.scores
    return ArmReport(
        name=name,
        version=version,
        weight=weight,
        state="LOADING" if seen is None else seen.state,
        reason="" if seen is None else seen.reason,
        requests=sample.answered + sample.failed + sample.refused,
        errors=sample.failed,
        refusals=sample.refused,
        stood_in=sample.stood_in,
        unkeyed=sample.unkeyed,
        p50_ms=sample.quantile_ms(0.5),
        p99_ms=sample.quantile_ms(0.99),
        scores=(scores[0], scores[1], scores[2]) if sample.scores else None,
        score_distance=distance(sample.scores, base.scores) if apart and base else None,
        shadow=_shadow(sample) if shadows or copies else None,
        outcomes=_outcomes(sample),
    )


def _shadow(sample: Sample) -> ShadowReport:
    compared = sample.compared
    return ShadowReport(
        compared=compared,
        failed=sample.shadow_failed,
        dropped=sample.dropped,
        agreement=1 - sample.disagreed / compared if compared else None,
        mean_distance=sample.distance_sum / compared if compared else None,
        max_distance=sample.distance_max,
        latency_ratio=sample.shadow_ns / sample.primary_ns if sample.primary_ns else None,
    )


def _outcomes(sample: Sample) -> OutcomeReport | None:
    sums = sample.outcomes
    if not sums.number:
        return None
    mean = sums.total / sums.number
    error = None
    if sums.number > 1:
        variance = max(0.0, (sums.squares - sums.number * mean * mean) / (sums.number - 1))
        error = math.sqrt(variance / sums.number)
    return OutcomeReport(number=sums.number, mean=mean, standard_error=error)


def _score_quantile(scores: Mapping[int, int], share: float) -> float:
    number = quantile_bin(scores, share)
    return math.nan if number is None else score_of_bin(number)
