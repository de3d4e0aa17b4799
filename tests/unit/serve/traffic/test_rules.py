"""Rules: who answers, and that callers stay where they are."""

from __future__ import annotations

from math import sqrt

import pytest

from serve.config import ModelConfig
from serve.traffic.rules import (
    basis_of,
    current,
    effective,
    needed_versions,
    place_of,
    rules_of,
)
from serve.traffic.state import ModelState, Rollout, RolloutStatus


def config_of(**fields: object) -> ModelConfig:
    return ModelConfig.model_validate(fields)


def state_of(config: ModelConfig, **fields: object) -> ModelState:
    return ModelState(basis=basis_of(config), **fields)  # type: ignore[arg-type]


def holding(step: int, *, version: int = 4, stable: int = 3) -> Rollout:
    return Rollout(
        version=version,
        stable=stable,
        steps=(1.0, 5.0, 25.0, 100.0),
        hold_s=60.0,
        status=RolloutStatus.HOLDING,
        step=step,
    )


def test_rules_without_traffic_are_plain() -> None:
    assert rules_of("m", config_of(), ModelState()).plain


def test_split_resolves_labels_and_puts_stable_last() -> None:
    config = config_of(
        labels={"stable": 3, "canary": 4}, traffic={"split": {"stable": 3, "canary": 1}}
    )
    rules = rules_of("m", config, ModelState())
    assert [(arm.name, arm.version, arm.weight) for arm in rules.arms] == [
        ("canary", 4, 0.25),
        ("stable", 3, 0.75),
    ]
    assert rules.version_at(0.2499) == 4
    assert rules.version_at(0.2501) == 3


def test_order_of_the_settings_changes_neither_places_nor_basis() -> None:
    labels = {"stable": 3, "canary": 4, "dark": 5}
    split = {"dark": 1, "canary": 1, "stable": 2}
    config = config_of(labels=labels, traffic={"split": split})
    other = config_of(
        labels=dict(sorted(labels.items())), traffic={"split": dict(sorted(split.items()))}
    )
    assert basis_of(config) == basis_of(other)
    assert rules_of("m", config, ModelState()) == rules_of("m", other, ModelState())
    assert basis_of(config) != basis_of(config_of(labels=labels))


def test_split_adds_up_what_names_one_version_twice() -> None:
    config = config_of(labels={"stable": 3}, traffic={"split": {"stable": 1, "3": 1, "4": 2}})
    rules = rules_of("m", config, ModelState())
    assert {arm.version: arm.weight for arm in rules.arms} == {3: 0.5, 4: 0.5}


def test_split_passes_over_a_label_that_stands_for_nothing() -> None:
    config = config_of(labels={"stable": 3}, traffic={"split": {"stable": 1, "gone": 1}})
    assert [arm.version for arm in rules_of("m", config, ModelState()).arms] == [3]


def test_rollout_stands_in_for_the_split() -> None:
    config = config_of(labels={"stable": 3}, traffic={"split": {"stable": 1, "9": 1}})
    rules = rules_of("m", config, state_of(config, rollout=holding(1)))
    assert {arm.version: arm.weight for arm in rules.arms} == {4: 0.05, 3: 0.95}
    assert rules.watched == (3, 4)


def test_rollout_that_loads_leaves_all_to_stable() -> None:
    config = config_of()
    loading = Rollout(version=4, stable=3, steps=(100.0,), hold_s=1.0)
    rules = rules_of("m", config, state_of(config, rollout=loading))
    assert [(arm.version, arm.weight) for arm in rules.arms] == [(3, 1.0)]


def test_callers_of_the_new_version_keep_it_as_it_grows() -> None:
    config = config_of()
    met: set[int] = set()
    for step in range(4):
        rules = rules_of("m", config, state_of(config, rollout=holding(step)))
        now = {n for n in range(2000) if rules.version_at(place_of("m", b"%d" % n)) == 4}
        assert met <= now
        met = now
    assert len(met) == 2000


def test_places_are_uniform_and_independent_between_salts() -> None:
    number = 20_000
    first = [place_of("a", b"user-%d" % n) < 0.3 for n in range(number)]
    second = [place_of("b", b"user-%d" % n) < 0.3 for n in range(number)]
    both = sum(one and other for one, other in zip(first, second, strict=True))
    for seen, share in ((sum(first), 0.3), (sum(second), 0.3), (both, 0.09)):
        assert abs(seen - share * number) < 4 * sqrt(share * (1 - share) * number)


def test_place_is_the_same_for_ever() -> None:
    assert place_of("fraud", b"user-1") == pytest.approx(PLACE, abs=0)


PLACE = 0.7854727249399105
"""Of user-1 of fraud: callers must not be assigned anew by another release."""


def test_state_counts_until_model_yaml_says_something_else() -> None:
    config = config_of(labels={"stable": 3})
    state = state_of(config, labels={"stable": 4})
    assert effective(config, state)[0] == {"stable": 4}
    changed = config_of(labels={"stable": 5})
    assert effective(changed, state)[0] == {"stable": 5}


def test_versions_that_rules_name_are_needed() -> None:
    config = config_of(labels={"stable": 3}, traffic={"split": {"7": 1}, "shadow": {"to": 8}})
    needed = needed_versions(config, state_of(config, rollout=holding(0, version=9)))
    assert set(needed.values()) == {3, 7, 8, 9}


def test_shadow_of_a_version_that_answers_is_none() -> None:
    config = config_of(traffic={"split": {"3": 1, "4": 1}, "shadow": {"to": 4}})
    assert rules_of("m", config, ModelState()).shadow_version == 0


def test_shadow_is_watched_beside_the_version_that_answers() -> None:
    config = config_of(labels={"stable": 3}, traffic={"shadow": {"to": 4}})
    rules = rules_of("m", config, ModelState())
    assert (rules.shadow_version, rules.watched) == (4, (3, 4))


def test_guards_of_a_rollout_stand_in_for_the_models() -> None:
    config = config_of(traffic={"guards": {"min_requests": 7}})
    rollout = Rollout(
        version=4, stable=3, steps=(100.0,), hold_s=1.0, guards={"max_p99_ratio": 2.0}
    )
    guards = rules_of("m", config, state_of(config, rollout=rollout)).guards
    assert (guards.min_requests, guards.max_p99_ratio) == (7, 2.0)


def test_model_yaml_overrules_only_what_it_says_otherwise() -> None:
    config = config_of(labels={"stable": 3}, traffic={"split": {"3": 1, "4": 1}})
    state = state_of(config, labels={"stable": 4}, traffic={"split": {"4": 1}})
    relabelled = config_of(labels={"stable": 5}, traffic={"split": {"3": 1, "4": 1}})
    assert effective(relabelled, state)[0] == {"stable": 5}
    assert effective(relabelled, state)[1].split == {"4": 1}
    redivided = config_of(labels={"stable": 3}, traffic={"split": {"3": 1}})
    assert effective(redivided, state)[0] == {"stable": 4}
    assert effective(redivided, state)[1].split == {"3": 1}


@pytest.mark.parametrize("traffic", [{"guards": {"min_requests": 7}}, {"score": "y"}])
def test_tuning_in_model_yaml_overrules_nothing_and_counts(traffic: dict[str, object]) -> None:
    state = state_of(config_of(labels={"stable": 3}), labels={"stable": 4}, rollout=holding(1))
    tuned = config_of(labels={"stable": 3}, traffic=traffic)
    rules = rules_of("m", tuned, state)
    assert effective(tuned, state)[0] == {"stable": 4}
    assert rules.arms
    assert {rules.guards.min_requests, rules.score} & {7, "y"}


def test_rollout_under_way_ends_with_the_rules_it_began_with() -> None:
    state = state_of(config_of(labels={"stable": 3}), labels={"stable": 3}, rollout=holding(1))
    changed = config_of(labels={"stable": 3}, traffic={"split": {"3": 1}})
    assert current(changed, state).rollout is None
    assert current(changed, state).labels == {"stable": 3}
