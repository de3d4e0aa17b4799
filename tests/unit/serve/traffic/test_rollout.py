"""How a rollout goes on."""

from __future__ import annotations

import math

import msgspec
import pytest

from serve.traffic.rollout import (
    LOADING,
    READY,
    advance,
    check_steps,
    next_step,
    readiness_verdict,
    rolled_back,
    step_anew,
)
from serve.traffic.state import Rollout, RolloutStatus
from serve.traffic.verdict import GuardName, State, Verdict

BEGUN = Rollout(version=4, stable=3, steps=(5.0, 100.0), hold_s=60.0, began_s=1000.0)
HOLDING = step_anew(msgspec.structs.replace(BEGUN, step=0), 1010.0)


def verdict(state: State, *, samples: int = 100, needed: int = 100) -> Verdict:
    return Verdict(
        guard=GuardName.ERRORS, state=state, samples=samples, needed=needed, text=f"it {state}"
    )


GOOD = (verdict("holds"), verdict("off"))


def test_the_first_step_begins_when_the_version_is_ready() -> None:
    assert advance(BEGUN, 1005.0, LOADING, ()) is BEGUN
    begun = advance(BEGUN, 1010.0, READY, ())
    assert (begun.status, begun.step, begun.step_began_s) == (RolloutStatus.HOLDING, 0, 1010.0)
    assert begun.percent == 5.0


def test_a_version_that_does_not_load_is_rolled_back() -> None:
    ended = advance(BEGUN, 1010.0, "model.onnx: not found", ())
    assert ended.status is RolloutStatus.ROLLED_BACK
    assert ended.reason == "version 4 is not ready: model.onnx: not found"
    assert ended.ended_s == 1010.0


def test_the_next_step_begins_after_the_hold() -> None:
    assert advance(HOLDING, 1069.9, READY, GOOD) is HOLDING
    moved = advance(HOLDING, 1070.0, READY, GOOD)
    assert (moved.step, moved.percent, moved.step_began_s) == (1, 100.0, 1070.0)


def test_the_rollout_is_completed_after_the_last_hold() -> None:
    last = next_step(HOLDING, 1070.0)
    ended = advance(last, 1130.0, READY, GOOD)
    assert ended.status is RolloutStatus.COMPLETED
    assert ended.ended_s == 1130.0
    assert not ended.active
    assert ended.step == 1


@pytest.mark.parametrize(
    "verdicts",
    [
        (),
        (verdict("holds"), verdict("waiting")),
        (verdict("off", samples=99),),
        (verdict("off", samples=99), verdict("off", samples=99)),
    ],
)
def test_a_step_goes_on_until_enough_was_seen(verdicts: tuple[Verdict, ...]) -> None:
    assert advance(HOLDING, 9999.0, READY, verdicts) is HOLDING


def test_a_rollout_without_guards_goes_on_after_enough_requests() -> None:
    assert advance(HOLDING, 1070.0, READY, (verdict("off"),)).step == 1


def test_a_breach_rolls_back_at_once_and_says_why() -> None:
    ended = advance(HOLDING, 1010.5, READY, (verdict("holds"), verdict("breached")))
    assert ended.status is RolloutStatus.ROLLED_BACK
    assert ended.reason == "it breached"


def test_all_breaches_are_named() -> None:
    assert advance(HOLDING, 1011.0, READY, (verdict("breached"),) * 2).reason.count("it ") == 2


def test_a_version_that_is_not_ready_any_more_is_rolled_back() -> None:
    ended = advance(HOLDING, 1011.0, "the executor died", GOOD)
    assert ended.status is RolloutStatus.ROLLED_BACK
    assert "the executor died" in ended.reason


def test_a_version_that_is_loading_again_stays_where_it_is() -> None:
    assert advance(HOLDING, 9999.0, LOADING, GOOD) is HOLDING


def test_a_pause_keeps_the_step_but_not_a_breach() -> None:
    paused = msgspec.structs.replace(HOLDING, status=RolloutStatus.PAUSED)
    assert advance(paused, 9999.0, READY, GOOD) is paused
    assert advance(paused, 1011.0, READY, (verdict("breached"),)).reason == "it breached"
    assert not advance(paused, 1011.0, "gone", GOOD).active


def test_a_pause_while_loading_is_kept() -> None:
    paused = msgspec.structs.replace(BEGUN, status=RolloutStatus.PAUSED)
    assert advance(paused, 9999.0, READY, ()) is paused
    assert step_anew(paused, 9999.0).status is RolloutStatus.LOADING


def test_after_a_pause_the_step_is_held_anew() -> None:
    paused = msgspec.structs.replace(HOLDING, status=RolloutStatus.PAUSED)
    resumed = step_anew(paused, 2000.0)
    assert (resumed.status, resumed.step) == (RolloutStatus.HOLDING, 0)
    assert advance(resumed, 2059.0, READY, GOOD) is resumed


def test_a_clock_that_is_set_back_only_delays() -> None:
    assert advance(HOLDING, 0.0, READY, GOOD) is HOLDING


@pytest.mark.parametrize(
    "ended",
    [rolled_back(HOLDING, 1020.0, "asked"), next_step(next_step(HOLDING, 1.0), 2.0)],
)
def test_nothing_becomes_of_a_rollout_that_has_ended(ended: Rollout) -> None:
    assert advance(ended, 9999.0, "gone", (verdict("breached"),)) is ended


def test_readiness_is_a_guard() -> None:
    assert readiness_verdict(4, READY).state == "holds"
    assert readiness_verdict(4, LOADING).state == "waiting"
    assert readiness_verdict(4, "no memory").text == "version 4 is not ready: no memory"


def test_steps_that_can_be_gone_are_kept() -> None:
    assert check_steps([1, 5, 25.5, 100]) == (1.0, 5.0, 25.5, 100.0)
    assert check_steps((100,)) == (100.0,)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((), "none are given"),
        ((0, 100), "above 0"),
        ((-1, 100), "above 0"),
        ((5, 101), "at most 100"),
        ((math.nan, 100), "above 0"),
        ((5, 5, 100), "do not ascend"),
        ((25, 5, 100), "do not ascend"),
        ((1, 5, 50), "the last is not 100; add it"),
    ],
)
def test_steps_that_cannot_be_gone_are_named_with_a_remedy(
    steps: tuple[float, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^steps: .*{message}"):
        check_steps(steps)
