"""What operations make of a model's traffic, and what is wrong with those that are refused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from serve.config import ModelConfig
from serve.errors import AlreadyExists, InvalidRequest, NotFound, NotReady, PenstockError
from serve.traffic.changes import Situation, change, completed
from serve.traffic.operations import (
    AdvanceRollout,
    ClearTraffic,
    Operation,
    PauseRollout,
    RemoveLabel,
    ResumeRollout,
    Rollback,
    SetLabel,
    SetShadow,
    SetSplit,
    SetTraffic,
    StartRollout,
)
from serve.traffic.rules import basis_of, rules_of
from serve.traffic.state import ModelState, Rollout, RolloutStatus


def situation(
    *,
    labels: Mapping[str, int] | None = None,
    traffic: Mapping[str, Any] | None = None,
    rollout: Rollout | None = None,
    yaml: Mapping[str, Any] | None = None,
    answers: int = 4,
    problem: str = "",
) -> Situation:
    """Model ``m`` with versions 2, 3 and 4."""
    config = ModelConfig.model_validate(yaml or {})
    return Situation(
        model="m",
        config=config,
        state=ModelState(labels=labels, traffic=traffic, rollout=rollout, basis=basis_of(config)),
        versions=(2, 3, 4),
        answers=answers,
        now_s=50.0,
        who="ann",
        problem=problem,
    )


def after(operation: Operation, at: Situation) -> Situation:
    """The situation once an operation is done."""
    return msgspec.structs.replace(at, state=change(operation, at))


ROLLOUT = Rollout(
    version=4,
    stable=3,
    steps=(5.0, 100.0),
    hold_s=9.0,
    status=RolloutStatus.HOLDING,
    step=0,
    step_began_s=1.0,
    holds=1,
)
UNDER_WAY = situation(labels={"stable": 3}, rollout=ROLLOUT)


def test_label_that_moves_leaves_the_others() -> None:
    at = situation(labels={"stable": 3, "canary": 2})
    assert change(SetLabel(label="canary", version=4), at).labels == {"stable": 3, "canary": 4}


def test_stable_that_moves_leaves_previous_behind() -> None:
    at = situation(labels={"stable": 3})
    assert change(SetLabel(label="stable", version=4), at).labels == {"stable": 4, "previous": 3}
    assert change(SetLabel(label="stable", version=3), at).labels == {"stable": 3}


def test_first_stable_leaves_behind_what_answered_before() -> None:
    assert change(SetLabel(label="stable", version=3), situation(answers=4)).labels == {
        "stable": 3,
        "previous": 4,
    }
    assert change(SetLabel(label="stable", version=3), situation(answers=0)).labels == {"stable": 3}


def test_labels_of_model_yaml_are_those_to_begin_with() -> None:
    at = situation(yaml={"labels": {"stable": 3, "best": 2}})
    assert change(RemoveLabel(label="best"), at).labels == {"stable": 3}


def test_rules_that_model_yaml_has_overruled_are_not_kept() -> None:
    at = situation(labels={"stable": 3, "x": 2}, traffic={"salt": "s"})
    config = ModelConfig.model_validate({"labels": {"stable": 4}})
    state = change(SetLabel(label="y", version=2), msgspec.structs.replace(at, config=config))
    traffic = {"salt": "s"}  # of which it says what it said before
    assert state == ModelState(
        labels={"stable": 4, "y": 2}, traffic=traffic, basis=basis_of(config)
    )


@pytest.mark.parametrize("to", ["stable", "3", "canary"])
def test_shadow_of_a_version_that_answers_is_refused(to: str) -> None:
    at = situation(labels={"stable": 3, "canary": 4}, traffic={"split": {"3": 1, "4": 1}})
    with pytest.raises(InvalidRequest, match=r"shadow\.to"):
        change(SetShadow(shadow={"to": to}), at)


def test_split_and_shadow_leave_the_rest_of_the_section() -> None:
    at = situation(labels={"stable": 3, "canary": 4}, traffic={"salt": "s"})
    at = after(SetSplit(split={"stable": 95, "canary": 5}, sticky={"header": "x-user"}), at)
    at = after(SetShadow(shadow={"to": "2", "percent": 50}), at)
    at = after(SetSplit(split={"stable": 90, "canary": 10}), at)
    assert at.state.traffic == {
        "salt": "s",
        "split": {"stable": 90.0, "canary": 10.0},
        "sticky": {"header": "x-user"},
        "shadow": {"to": "2", "percent": 50.0},
    }
    at = after(SetShadow(shadow=None), at)
    at = after(SetSplit(split={}, sticky={}), at)
    assert at.state.traffic == {"salt": "s"}


def test_traffic_is_replaced_whole() -> None:
    at = situation(labels={"stable": 3}, traffic={"salt": "s", "split": {"stable": 1}})
    assert change(SetTraffic(traffic={"score": "p"}), at).traffic == {"score": "p"}


def test_cleared_traffic_is_that_of_model_yaml() -> None:
    ended = msgspec.structs.replace(ROLLOUT, status=RolloutStatus.COMPLETED)
    state = change(ClearTraffic(), situation(labels={"x": 2}, traffic={}, rollout=ended))
    assert (state.labels, state.traffic, state.rollout) == (None, None, None)


def test_rollout_begins_with_what_answers_as_stable() -> None:
    operation = StartRollout(to=4, steps=(1, 100), hold_s=60, guards={"max_p99_ratio": 2})
    state = change(operation, situation(answers=3))
    assert state.labels == {"stable": 3}
    assert state.rollout == Rollout(
        version=4,
        stable=3,
        steps=(1.0, 100.0),
        hold_s=60,
        began_s=50.0,
        by="ann",
        guards={"max_p99_ratio": 2},
    )


def test_rollout_pauses_and_resumes_at_its_step_anew() -> None:
    at = after(PauseRollout(), UNDER_WAY)
    assert at.rollout is not None
    assert (at.rollout.status, at.rollout.holds) == (RolloutStatus.PAUSED, 1)
    at = after(ResumeRollout(), at)
    assert at.rollout is not None
    assert (at.rollout.status, at.rollout.step_began_s) == (RolloutStatus.HOLDING, 50.0)
    assert at.rollout.holds == 2


def test_rollout_advances_to_its_end() -> None:
    at = after(AdvanceRollout(), UNDER_WAY)
    assert at.rollout is not None
    assert at.rollout.percent == 100
    at = after(AdvanceRollout(), at)
    assert at.rollout is None
    assert at.state.labels == {"stable": 4, "previous": 3}


def test_completed_rollout_drops_the_split_and_keeps_the_rest() -> None:
    at = situation(
        labels={"stable": 3, "x": 2},
        rollout=ROLLOUT,
        yaml={"traffic": {"split": {"3": 1, "2": 1}, "salt": "s"}},
    )
    done = msgspec.structs.replace(ROLLOUT, status=RolloutStatus.COMPLETED)
    state = completed(at, done)
    assert state.traffic == {"salt": "s"}
    assert state.labels == {"stable": 4, "previous": 3, "x": 2}
    assert rules_of("m", at.config, state).arms == ()


def test_rollback_ends_the_rollout_first() -> None:
    at = msgspec.structs.replace(UNDER_WAY, why="it is slow")
    at = after(Rollback(), at)
    assert at.state.rollout is not None
    assert at.state.rollout.status is RolloutStatus.ROLLED_BACK
    assert (at.state.rollout.reason, at.state.rollout.ended_s) == ("it is slow", 50.0)
    assert at.labels == {"stable": 3}


def test_rollback_after_a_rollout_is_complete_goes_back_to_the_version_before() -> None:
    at = after(AdvanceRollout(), after(AdvanceRollout(), UNDER_WAY))
    at = after(Rollback(), at)
    assert at.state.labels == {"stable": 3}
    with pytest.raises(NotReady, match="m has no version to go back to"):
        change(Rollback(), at)


def test_rollback_that_comes_after_that_of_the_guards_goes_no_further_back() -> None:
    at = situation(labels={"stable": 3, "previous": 2}, rollout=ROLLOUT)
    at = after(Rollback(), at)
    with pytest.raises(AlreadyExists, match=r"already.* to version 3; .*label version 2 `stable`"):
        change(Rollback(), at)
    at = after(SetLabel(label="stable", version=2), at)
    assert after(Rollback(), at).labels == {"stable": 3}


def test_rollback_of_a_split_gives_all_to_stable() -> None:
    at = situation(labels={"stable": 3, "b": 4}, traffic={"split": {"stable": 1, "b": 9}})
    at = after(Rollback(), at)
    rules = rules_of("m", at.config, at.state)
    assert (rules.arms, rules.default) == ((), 3)


@pytest.mark.parametrize(
    ("split", "kept"), [({"3": 95, "4": 5}, 3), ({"3": 5, "4": 95}, 4), ({"2": 1, "4": 1}, 2)]
)
def test_rollback_of_a_split_without_stable_gives_all_to_its_largest(
    split: dict[str, int], kept: int
) -> None:
    at = after(Rollback(), situation(yaml={"traffic": {"split": split}}))
    rules = rules_of("m", at.config, at.state)
    assert (rules.arms, rules.default) == ((), kept)


def test_rollback_needs_no_versions_on_disk() -> None:
    at = msgspec.structs.replace(UNDER_WAY, versions=(), answers=0)
    assert after(Rollback(), at).rollout is None


PREVIOUS_ONLY = situation(labels={"stable": 3})
MANY = {f"l{number}": 2 for number in range(64)}


@pytest.mark.parametrize(
    ("operation", "at", "kind", "problem"),
    [
        (SetLabel(label="3x", version=3), PREVIOUS_ONLY, InvalidRequest, "label: '3x' is none"),
        (SetLabel(label="x" * 65, version=3), PREVIOUS_ONLY, InvalidRequest, "label: .* is none"),
        (SetLabel(label="x", version=9), PREVIOUS_ONLY, NotFound, "m has no version 9; it has 2,"),
        (SetLabel(label="x", version=2), situation(labels=MANY), InvalidRequest, "may have 64"),
        (SetLabel(label="stable", version=2), UNDER_WAY, AlreadyExists, "models rollback m"),
        (RemoveLabel(label="x"), PREVIOUS_ONLY, NotFound, "no label 'x'; it has stable"),
        (RemoveLabel(label="stable"), UNDER_WAY, AlreadyExists, "models rollback m"),
        (SetSplit(split={"3": -1}), PREVIOUS_ONLY, InvalidRequest, r"traffic\.split\.3: "),
        (SetSplit(split={"3": math.nan}), PREVIOUS_ONLY, InvalidRequest, r"traffic\.split\.3: "),
        (SetSplit(split={"3": 0}), PREVIOUS_ONLY, InvalidRequest, "a weight at least"),
        (SetSplit(split={"9": 1}), PREVIOUS_ONLY, NotFound, r"split\.9: m has no version 9"),
        (SetSplit(split={"x": 1}), PREVIOUS_ONLY, InvalidRequest, r"split\.x: there is no label"),
        (SetSplit(split={"3": 1}), UNDER_WAY, AlreadyExists, "divided otherwise"),
        (SetShadow(shadow={"to": "9"}), PREVIOUS_ONLY, NotFound, "shadow.to: m has no version 9"),
        (SetShadow(shadow={}), PREVIOUS_ONLY, InvalidRequest, r"traffic\.shadow\.to: "),
        (SetTraffic(traffic={"splitt": {}}), PREVIOUS_ONLY, InvalidRequest, r"traffic\.splitt: "),
        (SetTraffic(traffic={}), UNDER_WAY, AlreadyExists, "traffic cannot be set"),
        (
            SetTraffic(traffic={"score": "x" * 70_000}),
            PREVIOUS_ONLY,
            InvalidRequest,
            "bytes to describe; at most 65536",
        ),
        (ClearTraffic(), UNDER_WAY, AlreadyExists, "traffic cannot be cleared"),
        (StartRollout(to=9), PREVIOUS_ONLY, NotFound, "to: m has no version 9"),
        (StartRollout(to=3), PREVIOUS_ONLY, InvalidRequest, "to: version 3 has all the traffic"),
        (StartRollout(to=4), situation(answers=4), InvalidRequest, "label another version"),
        (StartRollout(to=4), situation(answers=0), NotReady, "no version of m answers yet"),
        (StartRollout(to=4), UNDER_WAY, AlreadyExists, "rollout of version 4 is under way"),
        (StartRollout(to=4, steps=(5, 1)), PREVIOUS_ONLY, InvalidRequest, "steps: "),
        (
            StartRollout(to=4, steps=tuple(range(1, 102))),
            PREVIOUS_ONLY,
            InvalidRequest,
            "steps: ",
        ),
        (
            StartRollout(to=4, steps=tuple(n / 2 for n in range(1, 201))),
            PREVIOUS_ONLY,
            InvalidRequest,
            "steps: 200 are given; at most 100",
        ),
        (StartRollout(to=4, hold_s=-1), PREVIOUS_ONLY, InvalidRequest, "hold_s: "),
        (StartRollout(to=4, hold_s=math.inf), PREVIOUS_ONLY, InvalidRequest, "hold_s: "),
        (
            StartRollout(to=4, guards={"max_p99_ratio": 0}),
            PREVIOUS_ONLY,
            InvalidRequest,
            "guards: max_p99_ratio: ",
        ),
        (StartRollout(to=4, guards={"max": 0}), PREVIOUS_ONLY, InvalidRequest, "guards: max: "),
        (PauseRollout(), PREVIOUS_ONLY, NotFound, "no rollout under way"),
        (ResumeRollout(), UNDER_WAY, InvalidRequest, "not paused"),
        (AdvanceRollout(), PREVIOUS_ONLY, NotFound, "no rollout under way"),
        (Rollback(), PREVIOUS_ONLY, NotReady, "label one `stable`"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, msgspec.Struct) else None,
)
def test_operation_that_cannot_be_done_says_why(
    operation: Operation, at: Situation, kind: type[PenstockError], problem: str
) -> None:
    with pytest.raises(kind, match=problem):
        change(operation, at)


def test_rollout_with_a_problem_does_not_advance() -> None:
    at = msgspec.structs.replace(UNDER_WAY, problem="version 4 is loading")
    with pytest.raises(NotReady, match="the rollout cannot go on: version 4 is loading"):
        change(AdvanceRollout(), at)


def test_rollout_that_model_yaml_has_overruled_is_none() -> None:
    config = ModelConfig.model_validate({"labels": {"stable": 2}})
    at = msgspec.structs.replace(UNDER_WAY, config=config)
    with pytest.raises(NotFound, match="no rollout under way"):
        change(PauseRollout(), at)
    state = change(StartRollout(to=4), at)
    assert state.rollout is not None
    assert state.rollout.stable == 2
