"""Judging a step of a rollout: the guards, over the whole step and over its last seconds."""

from __future__ import annotations

from collections.abc import Mapping

from serve.config.traffic import Guards
from serve.traffic.guarding import GUARDS, Seen
from serve.traffic.samples import Sample
from serve.traffic.state import Rollout
from serve.traffic.tally import Tally
from serve.traffic.verdict import GuardName, Verdict

__all__ = ["GuardName", "Verdict", "Watch", "spent", "watch_of"]

WINDOW_S = 10.0
WINDOW_REQUESTS = 500
"""A window ends when it has lasted for so long, and the new version has had so many requests."""


def spent(alpha: float, number: int) -> float:
    """The part of ``alpha`` for the test of this number, from 0: all of them add up to it."""
    return alpha / ((number + 1) * (number + 2))


class Watch:
    """What is seen of a step: one is made for each, and each time a step is held anew.

    ``alpha``: for each guard, the chance that it is ever breached by a version within the limits.
    Half of it is for the counts of the whole step, half for those of windows of ten seconds (more,
    if there are few requests), so that a version which turns bad after a good hour is caught as
    fast as one that is bad from the start. ``alone``: stable gets no requests in this step, and
    the new version is compared with all that is known of stable.

    Pure: it reads no clock, and may be given counts at any moments. Belongs to one thread.
    """

    def __init__(
        self,
        guards: Guards,
        slo_ms: float | None,
        alpha: float,
        *,
        new_name: str = "the new version",
        stable_name: str = "stable",
        alone: bool = False,
    ) -> None:
        self._guards = guards
        self._slo_ms = slo_ms
        self._alpha = alpha
        self._names = (new_name, stable_name)
        self._alone = alone
        self._new = _Counts(everything=False)
        self._stable = _Counts(everything=alone)
        self._windows = 0
        self._window_began_s = 0.0
        self._breaches: dict[GuardName, Verdict] = {}

    def see(self, now_s: float, new: Sample, stable: Sample) -> tuple[Verdict, ...]:
        """One verdict a guard, of what both versions have counted since they were started.

        The first call says from where on counts belong to the step. Counts that fall, as after
        the restart of a gateway, only lose what was counted in between. A breach stays one.
        """
        if not self._new.begun:
            self._window_began_s = now_s
        self._new.move(new)
        self._stable.move(stable)
        whole = self._seen(self._new.step, self._stable.step)
        age_s = now_s - self._window_began_s
        within = f" (the last {max(1, round(age_s))} s of {self._names[0]})"
        window = self._seen(self._new.window, self._stable.window, within)
        verdicts = []
        for name, guard in GUARDS:
            verdict = self._breaches.get(name)
            if verdict is None:
                verdict = guard(self._guards, self._slo_ms, whole, self._alpha / 2)
                if verdict.state != "breached" and self._windows:
                    part = spent(self._alpha / 2, self._windows - 1)
                    recent = guard(self._guards, self._slo_ms, window, part)
                    verdict = recent if recent.state == "breached" else verdict
            if verdict.state == "breached":
                self._breaches[name] = verdict
            verdicts.append(verdict)
        if age_s >= WINDOW_S and window.new.asked >= WINDOW_REQUESTS:
            self._windows += 1
            self._window_began_s = now_s
            self._new.begin_window()
            self._stable.begin_window()
        return tuple(verdicts)

    def _seen(self, new: Tally, stable: Tally, within: str = "") -> Seen:
        return Seen(
            new=new,
            stable=stable,
            new_name=self._names[0],
            stable_name=self._names[1],
            within=within,
            alone=self._alone,
            needed=self._guards.min_requests,
        )


def watch_of(rollout: Rollout, guards: Guards, slo_ms: float | None, number: int) -> Watch:
    """The watch of the step that a rollout is at.

    ``number``: how many watches it had before; whatever that comes to, the chance that one of
    them is ever breached by a version within the limits is below 1 - ``guards.confidence``, for
    each guard.
    """
    return Watch(
        guards,
        slo_ms,
        spent(1 - guards.confidence, number),
        new_name=f"version {rollout.version}",
        stable_name=f"version {rollout.stable}",
        alone=rollout.percent >= 100,
    )


class _Counts:
    """The counts of one version in the step, and in the window.

    ``everything``: what was counted before the step belongs to it, and to each window. Shadow
    copies always do: there are none in a step.
    """

    def __init__(self, *, everything: bool) -> None:
        self._everything = everything
        self._latest: Sample | None = None
        self.step = Tally()
        self.window = self.step if everything else Tally()

    @property
    def begun(self) -> bool:
        return self._latest is not None

    def move(self, latest: Sample) -> None:
        """Take note of what is counted now."""
        before, self._latest = self._latest, latest
        if before is None:
            if self._everything:
                self.step.add(latest)
            else:
                self.step.add_copies(latest)
        elif (look := _since(latest, before)) is not None:
            self.step.add(look)
            if self.window is not self.step:
                self.window.add(look)

    def begin_window(self) -> None:
        """Count for the window from here on."""
        if not self._everything:
            self.window = Tally()


COUNTED = ("answered", "failed", "refused", "compared", "disagreed", "shadow_failed")


def _since(latest: Sample, before: Sample) -> Sample | None:
    """What was counted between two looks; None: a count is lower than it was."""
    plain = {name: getattr(latest, name) - getattr(before, name) for name in COUNTED}
    latencies = _counted(latest.latencies, before.latencies)
    scores = _counted(latest.scores, before.scores)
    counts = (*plain.values(), *latencies.values(), *scores.values())
    return None if min(counts) < 0 else Sample(**plain, latencies=latencies, scores=scores)


def _counted(latest: Mapping[int, int], before: Mapping[int, int]) -> dict[int, int]:
    """The bins that differ, and by how much."""
    lost = {number: -before[number] for number in before.keys() - latest.keys()}
    known = before.get
    return lost | {
        number: more for number, count in latest.items() if (more := count - known(number, 0))
    }
