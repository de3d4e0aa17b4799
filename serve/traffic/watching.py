"""Which rollouts are under way, and what is seen of their steps. Reads no disk and no clock."""

from __future__ import annotations

from collections.abc import Container

import msgspec

from serve.config import ModelConfig
from serve.traffic.judge import Watch, watch_of
from serve.traffic.rollout import LOADING, READY, advance, readiness_verdict, step_anew
from serve.traffic.rules import rules_of
from serve.traffic.state import ModelState, Rollout, RolloutStatus
from serve.traffic.sums import Reports
from serve.traffic.verdict import GuardName, Verdict

__all__ = ["Watching"]

SETTLE_S = 5.0
"""So long after a rollout began, a version that failed before may still be tried again."""
GATHER_S = 3.0
"""So long after the start of this process, gateways are awaited that have reported to its
predecessor: what they counted before must not look as if it was counted since."""


class _Watched(msgspec.Struct):
    """A rollout, by what tells it from all others of the model, and its step's watch."""

    rollout: tuple[int, float]
    holds: int
    watch: Watch | None = None
    verdicts: tuple[Verdict, ...] = ()


class Watching:
    """The watch of each model's rollout."""

    def __init__(self, reports: Reports) -> None:
        self._reports = reports
        self._watched: dict[str, _Watched] = {}
        self._versions: dict[str, tuple[int, ...]] = {}
        self._gathered_s = 0.0

    def start(self, now_s: float) -> None:
        """Gateways report from now on."""
        self._gathered_s = now_s + GATHER_S

    def look(
        self, name: str, config: ModelConfig, state: ModelState, now_s: float, *, judges: bool
    ) -> Rollout | None:
        """What should become of a model's rollout; None: it is fine as it is.

        ``judges``: whether it is for this process to let it go on. Each may roll it back, for
        what its own gateways have seen.
        """
        rollout = state.rollout
        if rollout is None or not rollout.active:
            return None
        watched, key = self._watched.get(name), (rollout.version, rollout.began_s)
        if watched is None or watched.rollout != key:
            if rollout.step < 0:
                watched = _Watched(key, -1)
            elif now_s < self._gathered_s:
                return None
            else:  # it was begun in another life of this process, whose counts are forgotten
                self._watched[name] = _Watched(key, -1)
                again = step_anew(rollout, now_s)
                return msgspec.structs.replace(again, status=rollout.status) if judges else None
            self._watched[name] = watched
        if watched.watch is None or watched.holds != rollout.holds:
            guards = rules_of(name, config, state).guards
            number = max(0, rollout.holds - 1)
            watched.watch = watch_of(rollout, guards, config.slo.latency_ms, number)
            watched.holds = rollout.holds
        new = self._reports.sample(name, rollout.version)
        stable = self._reports.sample(name, rollout.stable)
        verdicts = watched.watch.see(now_s, new, stable)
        readiness = self._readiness(name, rollout, now_s)
        watched.verdicts = (self._readiness_verdict(name, rollout, readiness), *verdicts)
        after = advance(rollout, now_s, readiness if judges else LOADING, verdicts)
        return None if after is rollout else after

    def set_versions(self, name: str, versions: tuple[int, ...]) -> None:
        """These versions of a model are in the repository now."""
        self._versions[name] = versions

    def forget_but(self, names: Container[str]) -> None:
        """Only these models have a rollout under way."""
        for name in [name for name in self._watched if name not in names]:
            del self._watched[name]
        for name in [name for name in self._versions if name not in names]:
            del self._versions[name]

    def verdicts(self, name: str) -> tuple[Verdict, ...]:
        """What the guards have said last of the step that holds."""
        watched = self._watched.get(name)
        return watched.verdicts if watched is not None else ()

    def problem(self, name: str, rollout: Rollout, now_s: float) -> str:
        """What speaks against going on with a rollout at once; "": nothing does."""
        breached = [v.text for v in self.verdicts(name) if v.state == "breached"]
        verdict = self._readiness_verdict(name, rollout, self._readiness(name, rollout, now_s))
        return "; ".join(breached) or ("" if verdict.state == "holds" else verdict.text)

    # inside

    def _readiness(self, name: str, rollout: Rollout, now_s: float) -> str:
        readiness = self._reports.readiness(name, rollout.version, now_s)
        young = rollout.status is RolloutStatus.LOADING and now_s < rollout.began_s + SETTLE_S
        if readiness == READY and self._is_gone(name, rollout):
            return LOADING
        return LOADING if readiness != READY and young else readiness

    def _is_gone(self, name: str, rollout: Rollout) -> bool:
        return name in self._versions and rollout.version not in self._versions[name]

    def _readiness_verdict(self, name: str, rollout: Rollout, readiness: str) -> Verdict:
        if readiness == LOADING and self._is_gone(name, rollout):
            text = (
                f"version {rollout.version} is not in the repository any more: it answers, and"
                " would not after a restart; put its folder back, or roll back"
            )
            return Verdict(guard=GuardName.READINESS, state="waiting", text=text)
        return readiness_verdict(rollout.version, readiness)
