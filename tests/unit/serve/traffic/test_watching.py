"""Looking at rollouts: what a process knows of their steps, and what it may decide."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from serve.config import ModelConfig
from serve.traffic.rules import basis_of
from serve.traffic.samples import Sample, latency_bin
from serve.traffic.state import ModelState, Rollout, RolloutStatus
from serve.traffic.sums import Reports, VersionSeen
from serve.traffic.watching import GATHER_S, SETTLE_S, Watching

CONFIG = ModelConfig()
LOADING = Rollout(version=4, stable=3, steps=(5.0, 100.0), hold_s=1.0, began_s=100.0)
HOLDING = msgspec.structs.replace(
    LOADING, status=RolloutStatus.HOLDING, step=0, step_began_s=100.0, holds=1
)


class Look:
    """A watching with one gateway, which counts good requests of both versions."""

    def __init__(self) -> None:
        self.reports = Reports()
        self.watching = Watching(self.reports)
        self.now_s = 100.0
        self.watching.start(self.now_s)
        self.counts = {3: Sample(), 4: Sample()}

    def __call__(
        self,
        rollout: Rollout | None,
        *,
        after_s: float = 0.5,
        state: str = "READY",
        judges: bool = True,
        answered: int = 0,
        failed: int = 0,
    ) -> Rollout | None:
        self.now_s += after_s
        good = Sample(answered=100, latencies={latency_bin(2_000_000): 100})
        self.counts[3] = self.counts[3].plus(good)
        self.counts[4] = self.counts[4].plus(
            Sample(answered=answered, failed=failed) if failed else good
        )
        seen = {
            3: VersionSeen(state="READY", sample=self.counts[3]),
            4: VersionSeen(state=state, reason="no file", sample=self.counts[4]),
        }
        self.reports.take("gateway", {"m": seen}, self.now_s)
        model = ModelState(rollout=rollout, basis=basis_of(CONFIG))
        return self.watching.look("m", CONFIG, model, self.now_s, judges=judges)


@pytest.fixture
def look() -> Look:
    return Look()


def ended(look: Look, rollout: Rollout, **options: Any) -> Rollout:
    """What a rollout becomes in 20 looks."""
    for _ in range(20):
        if (after := look(rollout, **options)) is not None:
            return after
    return rollout


def test_model_without_a_rollout_stays(look: Look) -> None:
    assert look(None) is None
    done = msgspec.structs.replace(HOLDING, status=RolloutStatus.COMPLETED)
    assert look(done) is None
    assert look.watching.verdicts("m") == ()


def test_rollout_begins_once_its_version_is_ready(look: Look) -> None:
    assert look(LOADING, state="LOADING") is None
    after = look(LOADING)
    assert after is not None
    assert (after.status, after.step, after.holds) == (RolloutStatus.HOLDING, 0, 1)


def test_version_that_failed_before_has_time_to_be_tried_again(look: Look) -> None:
    assert look(LOADING, state="UNAVAILABLE") is None
    after = look(LOADING, state="UNAVAILABLE", after_s=SETTLE_S)
    assert after is not None
    assert after.status is RolloutStatus.ROLLED_BACK
    assert after.reason == "version 4 is not ready: no file"


def test_step_goes_on_after_it_has_held(look: Look) -> None:
    assert look(LOADING) is not None
    after = ended(look, HOLDING)
    assert (after.step, after.status) == (1, RolloutStatus.HOLDING)


def test_step_of_another_life_is_held_anew_once_all_may_have_reported(look: Look) -> None:
    assert look(HOLDING) is None
    assert look(HOLDING, failed=50) is None  # counts of the life before: nobody judges them
    after = look(HOLDING, after_s=GATHER_S)
    assert after is not None
    assert (after.step, after.holds, after.step_began_s) == (0, 2, look.now_s)
    assert look(after) is None
    assert {verdict.state for verdict in look.watching.verdicts("m")} <= {"holds", "waiting", "off"}


def test_pause_of_another_life_lasts(look: Look) -> None:
    paused = msgspec.structs.replace(HOLDING, status=RolloutStatus.PAUSED)
    after = look(paused, after_s=GATHER_S)
    assert after is not None
    assert (after.status, after.holds) == (RolloutStatus.PAUSED, 2)


def test_who_does_not_judge_lets_nothing_go_on(look: Look) -> None:
    assert look(LOADING, judges=False) is None
    assert ended(look, HOLDING, judges=False) == HOLDING
    assert look(HOLDING, judges=False, state="UNAVAILABLE") is None


def test_who_does_not_judge_rolls_back_what_its_own_requests_show(look: Look) -> None:
    assert look(LOADING, judges=False) is None
    assert look(HOLDING, judges=False) is None
    after = ended(look, HOLDING, judges=False, answered=5, failed=5)
    assert after.status is RolloutStatus.ROLLED_BACK
    assert "errors" in after.reason
    assert "errors" in look.watching.problem("m", HOLDING, look.now_s)


def test_same_version_rolled_out_again_is_another_rollout(look: Look) -> None:
    assert look(LOADING) is not None
    assert ended(look, HOLDING, answered=5, failed=5).status is RolloutStatus.ROLLED_BACK
    again = msgspec.structs.replace(LOADING, began_s=look.now_s)
    after = look(again)
    assert after is not None
    assert after.status is RolloutStatus.HOLDING
    assert look.watching.problem("m", again, look.now_s) == ""


def test_version_without_a_folder_stays_where_it_is(look: Look) -> None:
    assert look(LOADING) is not None
    look.watching.set_versions("m", (2, 3))
    assert ended(look, HOLDING) == HOLDING
    verdict = look.watching.verdicts("m")[0]
    assert (verdict.guard, verdict.state) == ("readiness", "waiting")
    assert "not in the repository any more" in look.watching.problem("m", HOLDING, look.now_s)
    look.watching.set_versions("m", (2, 3, 4))
    assert ended(look, HOLDING).step == 1


def test_rollouts_that_are_over_are_forgotten(look: Look) -> None:
    assert look(LOADING) is not None
    look.watching.forget_but(["m"])
    assert look.watching.verdicts("m")
    look.watching.forget_but([])
    assert look.watching.verdicts("m") == ()
