"""What people are told of a model's traffic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from serve.config import ModelConfig
from serve.traffic.report import ModelTraffic, traffic_report
from serve.traffic.rules import basis_of, rules_of
from serve.traffic.samples import OutcomeSums, Sample, latency_bin, score_bins
from serve.traffic.state import ModelState
from serve.traffic.sums import VersionSeen

READY = VersionSeen(state="READY")


def report_of(
    samples: Mapping[int, Sample],
    *,
    yaml: Mapping[str, Any] | None = None,
    state: ModelState | None = None,
    seen: Mapping[int, VersionSeen] | None = None,
) -> ModelTraffic:
    config = ModelConfig.model_validate(yaml or {})
    state = state or ModelState()
    return traffic_report(
        "m",
        config,
        state,
        rules_of("m", config, state),
        {3: READY, 4: READY} if seen is None else seen,
        lambda version: samples.get(version, Sample()),
        (),
        7,
    )


def test_model_without_rules_is_all_of_its_highest_version() -> None:
    report = report_of({})
    assert (report.default, report.from_model_yaml, report.overruled) == (4, True, False)
    assert [(arm.name, arm.version, arm.weight) for arm in report.arms] == [
        ("3", 3, 0.0),
        ("4", 4, 1.0),
    ]
    arm = report.arms[0]
    assert (arm.requests, arm.p50_ms, arm.p99_ms, arm.scores) == (0, None, None, None)
    assert (arm.score_distance, arm.shadow, arm.outcomes) == (None, None, None)


def test_arms_have_names_weights_and_counts() -> None:
    sample = Sample(
        answered=90,
        failed=8,
        refused=2,
        stood_in=6,
        unkeyed=5,
        latencies={latency_bin(1_000_000): 80, latency_bin(8_000_000): 10},
    )
    yaml = {
        "labels": {"stable": 3, "canary": 4},
        "traffic": {"split": {"stable": 3, "canary": 1}, "sticky": {"header": "x-user"}},
    }
    report = report_of({4: sample}, yaml=yaml)
    assert [(arm.name, arm.weight) for arm in report.arms] == [("stable", 0.75), ("canary", 0.25)]
    arm = report.arms[1]
    assert (arm.requests, arm.errors, arm.refusals) == (100, 8, 2)
    assert (arm.stood_in, arm.unkeyed) == (6, 5)
    assert arm.p50_ms == pytest.approx(1.0, rel=0.1)
    assert arm.p99_ms == pytest.approx(8.0, rel=0.1)
    assert report.sticky == {"header": "x-user"}


def test_scores_are_compared_with_those_of_the_default() -> None:
    low, high = np.linspace(0, 0.5, 1000), np.linspace(0.25, 0.75, 1000)
    samples = {
        3: Sample(answered=1000, scores=score_bins(low)),
        4: Sample(answered=1000, scores=score_bins(high)),
    }
    stable, new = report_of(samples, yaml={"labels": {"stable": 3}}).arms
    assert stable.score_distance is None
    assert new.score_distance == pytest.approx(0.5, abs=0.05)
    assert stable.scores == pytest.approx((0.05, 0.25, 0.45), abs=0.02)
    assert new.scores == pytest.approx((0.3, 0.5, 0.7), abs=0.02)


def test_shadow_is_compared_copy_by_copy() -> None:
    sample = Sample(
        compared=200,
        disagreed=10,
        dropped=5,
        shadow_failed=1,
        distance_sum=50.0,
        distance_max=3.0,
        shadow_ns=300,
        primary_ns=200,
    )
    yaml = {"labels": {"stable": 3}, "traffic": {"shadow": {"to": "4"}}}
    report = report_of({4: sample}, yaml=yaml)
    shadow = report.arms[1].shadow
    assert shadow is not None
    assert (shadow.compared, shadow.failed, shadow.dropped) == (200, 1, 5)
    assert (shadow.agreement, shadow.mean_distance, shadow.max_distance) == (0.95, 0.25, 3.0)
    assert shadow.latency_ratio == 1.5
    assert report.arms[0].shadow is None
    assert report.shadow is not None


def test_shadow_that_was_given_nothing_yet_has_no_figures() -> None:
    yaml = {"labels": {"stable": 3}, "traffic": {"shadow": {"to": "4"}}}
    shadow = report_of({}, yaml=yaml).arms[1].shadow
    assert shadow is not None
    assert (shadow.agreement, shadow.mean_distance, shadow.latency_ratio) == (None, None, None)


def test_outcomes_have_a_mean_and_its_standard_error() -> None:
    values = np.array([1.0, 0.0, 1.0, 1.0, 0.0])
    sums = OutcomeSums(len(values), float(values.sum()), float((values**2).sum()))
    samples = {3: Sample(outcomes=OutcomeSums(1, 2.0, 4.0)), 4: Sample(outcomes=sums)}
    single, several = (arm.outcomes for arm in report_of(samples).arms)
    assert single is not None
    assert (single.number, single.mean, single.standard_error) == (1, 2.0, None)
    assert several is not None
    assert several.mean == pytest.approx(0.6)
    assert several.standard_error == pytest.approx(values.std(ddof=1) / np.sqrt(5))


def test_version_of_a_rule_that_is_not_served_is_shown_with_its_reason() -> None:
    seen = {3: READY, 4: VersionSeen(state="UNAVAILABLE", reason="no file")}
    report = report_of({}, yaml={"labels": {"stable": 3, "canary": 4, "next": 5}}, seen=seen)
    states = {arm.version: (arm.name, arm.state, arm.reason) for arm in report.arms}
    assert states[4] == ("canary", "UNAVAILABLE", "no file")
    assert states[5] == ("next", "LOADING", "")


def test_rules_that_model_yaml_has_overruled_are_named_as_such() -> None:
    config = ModelConfig.model_validate({})
    state = ModelState(labels={"stable": 3}, basis=basis_of(config))
    assert report_of({}, state=state).from_model_yaml is False
    assert report_of({}, state=state).default == 3
    overruled = report_of({}, state=state, yaml={"labels": {"stable": 4}})
    assert (overruled.overruled, overruled.from_model_yaml, overruled.default) == (True, True, 4)
