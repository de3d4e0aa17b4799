"""Versions are rolled out under load: is a good one taken, and is each bad one given up, how soon?

Poisson arrivals. A version that is as good as the one before is rolled out in short steps, and
takes over. Then others are tried that are slow (each batch sleeps), that raise for some rows, or
whose scores are others: each of them has to be rolled back by itself, by what its guards see of the
traffic. All versions answer every request otherwise, so each answer tells which of them it is of.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from benchmarks.answers import right_answer
from benchmarks.attempt import LOAD_METRICS, Attempt
from benchmarks.context import Context
from benchmarks.loadgen.spec import LoadReport, OpenLoop, Phase
from benchmarks.measurement import Measurement
from benchmarks.models import RELEASED, build_release
from benchmarks.scenarios.params import Count, LoadParams, Seconds, load_spec, own_payloads
from benchmarks.scenarios.planned import SERVER_S, loads_s
from benchmarks.subject import UnsupportedError
from benchmarks.traffic_admin import Rollout, TrafficAdmin

NAME = "rollout"
Kind = Literal["good", "slow", "erroring", "shifted"]
VERSIONS: dict[Kind, int] = {"good": 2, "slow": 3, "erroring": 4, "shifted": 5}
SHIFT = 1.0
SLEEP_MS = 30
IN_PYTHON = """\
import time

import onnxruntime


class Model:
    def load(self, context):
        self.session = onnxruntime.InferenceSession(str(context.folder / "scorer.onnx"))

    def predict(self, inputs):
        {trouble}
        return {{"probability": self.session.run(None, {{"x": inputs["x"]}})[0]}}
"""
TROUBLE: dict[Kind, str] = {
    "slow": f"time.sleep({SLEEP_MS / 1e3})",
    # Not of the constants that a version is warmed up with, or it would never be ready.
    "erroring": 'if (inputs["x"][:, 0] > 1.5 * abs(inputs["x"][:, 1])).any(): 1 / 0',
}
METRICS = {
    **LOAD_METRICS,
    "wrong": "Answers that are no version's.",
    "lost": "Requests that were neither answered nor refused, beside the wrong ones and those that"
    " the erroring version failed.",
    "excluded": "Answers of a version that had no share at the time.",
    "{kind}.ended": "1: it ended as it should, in time; 0: it did not.",
    "{kind}.took_s": "From the version's first share to the end of its rollout.",
    "{kind}.met": "Requests that this version answered, or failed.",
    "{kind}.refused": "Requests refused during its load.",
    "before.latency_ms.p99": "Before the good version got its first share.",
    "p99_ratio": "p99 from then on, over that.",
}


class Params(LoadParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which versions, in what steps, under what load. What ``LOAD_METRICS`` says is of the first.

    The first of ``kinds`` is also what ``p99_ratio`` is of, so it should be ``good``.
    """

    rate: Annotated[float, Meta(gt=0, description="Requests a second, on average.")] = 1000.0
    kinds: Annotated[
        tuple[Kind, ...], Meta(min_length=1, description="Versions, one after the other.")
    ] = ("good", "slow", "erroring", "shifted")
    steps: Annotated[tuple[float, ...], Meta(description="In percent; 100 is the last.")] = (
        *(5.0, 25.0, 50.0),
        100.0,
    )
    hold_s: Annotated[Seconds, Meta(description="Each step, at least.")] = 3.0
    min_requests: Annotated[Count, Meta(description="That a step needs of the version.")] = 100
    before_s: Annotated[Seconds, Meta(description="Load before each rollout.")] = 5.0
    during_s: Annotated[Seconds, Meta(description="Load within which it has to end.")] = 25.0
    after_s: Annotated[Seconds, Meta(description="Load from then on.")] = 2.0


def planned_s(params: Params) -> float:
    """About how long it takes."""
    return SERVER_S + loads_s(len(params.kinds), _lasts_s(params))


def run(context: Context, params: Params) -> Measurement:
    """One load for each version."""
    repository, artefact = context.write(RELEASED)
    payloads, stable_answers = own_payloads(context, RELEASED, artefact, params.payloads)
    others = [_write(repository / RELEASED.name, kind) for kind in VERSIONS]
    expected = tuple(
        (stable, *(right_answer(one, payload) for one in others))
        for payload, (stable,) in zip(payloads, stable_answers, strict=True)
    )
    load = OpenLoop(
        phases=(
            Phase("before", params.rate, params.before_s),
            Phase("during", params.rate, params.during_s),
            Phase("after", params.rate, params.after_s),
        ),
        seed=context.seed,
    )
    metrics: dict[str, float] = dict.fromkeys(("wrong", "lost", "excluded"), 0.0)
    driven = []
    with Attempt(context, NAME, params) as attempt, context.serving(RELEASED) as server:
        admin = TrafficAdmin(server, RELEASED.name)
        spec = load_spec(params, server, payloads, load, expected=expected, tell_apart=True)
        stable = 0
        for kind in params.kinds:
            release = Release(admin, kind, params)
            driven.append(attempt.drive(server, spec, f"a version that is {kind}", release.at))
            attempt.invalid += driven[-1].report.health.reasons
            for name, value in _metrics(driven[-1].report, release, stable).items():
                metrics[name] = metrics.get(name, 0.0) + value
            if release.why:
                attempt.note(f"{kind}: {release.why}")
            if kind == "good" and release.ended_well:
                stable = _answer(kind)
        first = driven[0].report
        before = metrics["before.latency_ms.p99"] = first.phase("before").latency_ms.p99
        metrics["p99_ratio"] = first.phase("during").latency_ms.p99 / max(1e-3, before)
        return attempt.of_load(driven[0], metrics=metrics)


class Release:
    """Rolls a version out while a load is under way."""

    def __init__(self, admin: TrafficAdmin, kind: Kind, params: Params) -> None:
        self._admin = admin
        self._params = params
        self._begun = False
        self._first_share_s = 0.0
        self._latest: Rollout | None = None
        self.kind = kind
        self.version = VERSIONS[kind]

    def at(self, part: float) -> None:
        """Told how far the load is."""
        if part < self._params.before_s / _lasts_s(self._params):
            return
        if not self._begun:
            self._begun = True
            self._admin.begin(
                self.version,
                steps=self._params.steps,
                hold_s=self._params.hold_s,
                guards={"min_requests": self._params.min_requests},
            )
        elif not self._ended:
            with contextlib.suppress(UnsupportedError):
                self._latest = self._admin.rollout()
            if self._latest is not None and self._latest.step >= 0 and not self._first_share_s:
                self._first_share_s = self._latest.step_began_s

    @property
    def ended_well(self) -> bool:
        """Whether it was taken if it is good, and rolled back if it is not."""
        rollout = self._latest
        should = "completed" if self.kind == "good" else "rolled_back"
        return rollout is not None and (rollout.version, rollout.status) == (self.version, should)

    @property
    def took_s(self) -> float:
        """From the version's first share to its end; all that there was, if it did not end."""
        if self._latest is None or not self._ended:
            return self._params.during_s
        return self._latest.ended_s - self._first_share_s

    @property
    def why(self) -> str:
        """What the server says of its end."""
        return "" if self._latest is None else self._latest.reason

    @property
    def _ended(self) -> bool:
        return self._latest is not None and self._latest.ended_s > 0


def _metrics(report: LoadReport, release: Release, stable: int) -> dict[str, float]:
    new, total = _answer(release.kind), report.total
    failed = total.statuses.get("500", 0) if release.kind == "erroring" else 0
    of_others = sum(total.answers(n) for n in range(len(VERSIONS) + 1) if n not in (stable, new))
    excluded = report.phase("before").answers(new) + of_others
    if release.ended_well:
        excluded += report.phase("after").answers(stable if release.kind == "good" else new)
    return {
        "wrong": total.wrong,
        "lost": total.failed - total.wrong - failed,
        "excluded": excluded,
        f"{release.kind}.ended": release.ended_well,
        f"{release.kind}.took_s": release.took_s,
        f"{release.kind}.met": total.answers(new) + failed,
        f"{release.kind}.refused": total.refused,
    }


def _answer(kind: Kind) -> int:
    """The number of a version's answers among the expected ones; 0 is that of the first version."""
    return list(VERSIONS).index(kind) + 1


def _lasts_s(params: Params) -> float:
    return params.before_s + params.during_s + params.after_s


def _write(folder: Path, kind: Kind) -> Path:
    """Put a version into the model's folder; returns its ONNX file."""
    version = folder / str(VERSIONS[kind])
    version.mkdir(exist_ok=True)
    in_python = kind in TROUBLE
    artefact = version / ("scorer.onnx" if in_python else "model.onnx")
    build_release(artefact, VERSIONS[kind], SHIFT if kind == "shifted" else 0.0)
    if in_python:
        (version / "model.py").write_text(IN_PYTHON.format(trouble=TROUBLE[kind]))
    return artefact
