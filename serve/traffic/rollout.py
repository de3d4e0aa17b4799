"""How a rollout goes on: a pure function of what is known of it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence

import msgspec

from serve.traffic.state import Rollout, RolloutStatus
from serve.traffic.verdict import GuardName, Verdict

__all__ = [
    "LOADING",
    "READY",
    "advance",
    "check_steps",
    "next_step",
    "readiness_verdict",
    "rolled_back",
    "step_anew",
]

READY = "ready"
LOADING = "loading"
MOST_TEXT = 1000
"""A reason is kept; the error of a runtime may be a book."""


def check_steps(steps: Iterable[float]) -> tuple[float, ...]:
    """The steps of a rollout, in percent, if they can be gone.

    Raises:
        ValueError: they do not ascend from above 0 to 100, the last of them.
    """
    given = tuple(float(step) for step in steps)
    shown = ", ".join(f"{step:g}" for step in given)
    if not given:
        raise ValueError("steps: none are given; give percentages that end with 100, as 1,5,25,100")
    if not all(0 < step <= 100 for step in given):
        raise ValueError(f"steps: {shown}: each has to be above 0 and at most 100 percent")
    if any(one >= other for one, other in itertools.pairwise(given)):
        raise ValueError(f"steps: {shown}: they do not ascend; order them, each of them once")
    if given[-1] != 100:
        raise ValueError(f"steps: {shown}: the last is not 100; add it, as the rollout ends there")
    return given


def advance(rollout: Rollout, now_s: float, readiness: str, verdicts: Sequence[Verdict]) -> Rollout:
    """What becomes of a rollout; itself, if nothing does.

    ``now_s``: seconds since the epoch. ``readiness`` of the new version: ``READY``, ``LOADING``, or
    why it failed. ``verdicts``: of the step that holds (``Watch.see``).

    One that failed, or breached a guard, is rolled back, also while paused. One that is loading
    again, as after a restart of the server, stays where it is.
    """
    if not rollout.active:
        return rollout
    if readiness not in (READY, LOADING):
        return rolled_back(rollout, now_s, readiness_verdict(rollout.version, readiness).text)
    if rollout.step >= 0:
        breached = [verdict.text for verdict in verdicts if verdict.state == "breached"]
        if breached:
            return rolled_back(rollout, now_s, "; ".join(breached))
    if readiness == LOADING or rollout.status is RolloutStatus.PAUSED:
        return rollout
    if rollout.status is RolloutStatus.LOADING:
        return next_step(rollout, now_s)
    held = now_s - rollout.step_began_s >= rollout.hold_s
    return next_step(rollout, now_s) if held and _satisfied(verdicts) else rollout


def next_step(rollout: Rollout, now_s: float) -> Rollout:
    """The rollout at its next step, or completed after the last."""
    if rollout.step + 1 >= len(rollout.steps):
        return msgspec.structs.replace(rollout, status=RolloutStatus.COMPLETED, ended_s=now_s)
    return step_anew(msgspec.structs.replace(rollout, step=rollout.step + 1), now_s)


def step_anew(rollout: Rollout, now_s: float) -> Rollout:
    """The rollout with its step held from now on; one before its first step goes on loading."""
    status = RolloutStatus.HOLDING if rollout.step >= 0 else RolloutStatus.LOADING
    return msgspec.structs.replace(
        rollout, status=status, step_began_s=now_s, holds=rollout.holds + 1
    )


def rolled_back(rollout: Rollout, now_s: float, reason: str) -> Rollout:
    """The rollout ended, with all traffic going back to stable."""
    return msgspec.structs.replace(
        rollout, status=RolloutStatus.ROLLED_BACK, ended_s=now_s, reason=reason[:MOST_TEXT]
    )


def readiness_verdict(version: int, readiness: str) -> Verdict:
    """Whether the new version is ready, as a guard says it; for ``readiness`` see ``advance``."""
    if readiness == READY:
        return Verdict(guard=GuardName.READINESS, state="holds", text=f"version {version} is ready")
    if readiness == LOADING:
        return Verdict(
            guard=GuardName.READINESS, state="waiting", text=f"version {version} is loading"
        )
    return Verdict(
        guard=GuardName.READINESS,
        state="breached",
        text=f"version {version} is not ready: {readiness}",
    )


def _satisfied(verdicts: Sequence[Verdict]) -> bool:
    """Whether no guard objects, and the new version has had the requests that a step needs."""
    needed = max((verdict.needed for verdict in verdicts), default=math.inf)
    return all(verdict.state in ("holds", "off") for verdict in verdicts) and any(
        verdict.samples >= needed for verdict in verdicts
    )
