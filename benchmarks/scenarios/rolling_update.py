"""New versions of a model under load: is any request lost, any answer wrong, anything slower?

Poisson arrivals at a moderate rate. Meanwhile a version that answers otherwise is put beside the
one that is served, and the server is told; when only the new one is left, so is the next. Every
answer has to be one of a version, as ONNX Runtime has it, and in the end all are the last one's.
Another model that is served has to stay as it is.

The server is told by SIGHUP, and tells at /status on its admin port which versions there are.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from benchmarks.answers import ask_once, right_answer
from benchmarks.attempt import LOAD_METRICS, Attempt
from benchmarks.context import Context
from benchmarks.loadgen.checks import Checker
from benchmarks.loadgen.spec import OpenLoop, Phase
from benchmarks.measurement import Measurement
from benchmarks.models import PAIR, SMALL, build_small
from benchmarks.payloads import Payload
from benchmarks.scenarios.params import LoadParams, load_spec, own_payloads
from benchmarks.scenarios.planned import SERVER_S, loads_s
from benchmarks.server_status import Version, ask_status
from benchmarks.subject import Served, UnsupportedError

NAME = "rolling_update"
SLICE_S = 0.1
METRICS = {
    **LOAD_METRICS,
    "wrong": "Answers that are no version's.",
    "lost": "Requests neither answered well nor refused, over the whole load.",
    "updates": "Versions that were alone in the end, before the load was over.",
    "update_s.max": "Longest from the order until only the new version is left.",
    "before.latency_ms.p99": "Before the first order.",
    "during.latency_ms.p99": "From the first order on.",
    "p99_ratio": "The one over the other.",
    "old_answers": "Of one request each afterwards, those that the last version did not answer.",
    "others_replaced": "Replicas of the other model that are not those of before.",
}


class Params(LoadParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often, under what load."""

    rate: Annotated[float, Meta(gt=0, description="Requests a second, on average.")] = 500.0
    before_s: Annotated[float, Meta(gt=0, description="Load before the first order.")] = 5.0
    during_s: Annotated[float, Meta(gt=0, description="Load from then on.")] = 25.0
    updates: Annotated[int, Meta(ge=1, description="Versions, one after the other.")] = 2


def planned_s(params: Params) -> float:
    """About how long it takes."""
    return SERVER_S + loads_s(1, params.before_s + params.during_s)


def run(context: Context, params: Params) -> Measurement:
    """One load, some updates."""
    repository, artefact = context.write(SMALL)
    PAIR.write(repository)  # the other model
    artefacts = [artefact, *(_beside(context, number + 2) for number in range(params.updates))]
    payloads, first = own_payloads(context, SMALL, artefact, params.payloads)
    by_version = [first, *(_answers(one, payloads) for one in artefacts[1:])]
    load = OpenLoop(
        phases=(
            Phase("before", params.rate, params.before_s),
            Phase("during", params.rate, params.during_s),
        ),
        seed=context.seed,
    )
    with Attempt(context, NAME, params) as attempt, context.serving(SMALL) as server:
        updater = Updater(server, repository / SMALL.name, artefacts[1:], params)
        others = updater.others()
        expected = tuple(
            tuple(body for (body,) in of_all) for of_all in zip(*by_version, strict=True)
        )
        spec = load_spec(params, server, payloads, load, slice_s=SLICE_S, expected=expected)
        driven = attempt.drive(server, spec, "versions roll", updater.at)
        report, last = driven.report, Checker(by_version[-1])
        before_ms = report.phase("before").latency_ms.p99
        during_ms = report.phase("during").latency_ms.p99
        target = server.target("http")
        answers = [ask_once(target, payload) for payload in payloads]
        return attempt.of_load(
            driven,
            metrics={
                "wrong": report.total.wrong,
                "lost": report.total.failed - report.total.wrong,
                "updates": len(updater.took_s),
                "update_s.max": max(updater.took_s, default=params.during_s),
                "before.latency_ms.p99": before_ms,
                "during.latency_ms.p99": during_ms,
                "p99_ratio": during_ms / max(1e-3, before_ms),
                "old_answers": sum(
                    not last.is_right(number, body) for number, body in enumerate(answers)
                ),
                "others_replaced": len(others - updater.others()),
            },
        )


class Updater:
    """Puts one version after the other into the model's folder while a load is under way."""

    def __init__(self, server: Served, folder: Path, artefacts: list[Path], params: Params) -> None:
        """Raises UnsupportedError if the server does not tell of its versions."""
        self._server = server
        self._folder = folder
        self._left = list(artefacts)
        self._part = params.before_s / (params.before_s + params.during_s)
        assert server.process is not None  # it was started for this
        self._pid = server.process.pid
        ask_status(server)
        self._ordered_s: float | None = None
        self._wanted = ""
        self.took_s: list[float] = []
        """How long each update took that came to its end."""

    def others(self) -> set[str]:
        """The replicas of the other model."""
        return _names(ask_status(self._server).versions(PAIR.name))

    def at(self, part: float) -> None:
        """Told how far the load is."""
        if part < self._part:
            return
        if self._ordered_s is not None and self._is_alone():
            self.took_s.append(time.monotonic() - self._ordered_s)
            self._ordered_s = None
        if self._ordered_s is None and self._left:
            artefact = self._left.pop(0)
            self._wanted = artefact.parent.name
            artefact.parent.rename(self._folder / self._wanted)
            self._ordered_s = time.monotonic()
            os.kill(self._pid, signal.SIGHUP)

    def _is_alone(self) -> bool:
        """Whether the version that was ordered is the only one, as far as the server tells."""
        with contextlib.suppress(UnsupportedError):
            versions = ask_status(self._server).versions(SMALL.name)
            return [(one.version, one.state) for one in versions] == [(self._wanted, "READY")]
        return False


def _names(versions: tuple[Version, ...]) -> set[str]:
    return {
        member.name
        for version in versions
        if version.replicas is not None
        for member in version.replicas.members
    }


def _beside(context: Context, number: int) -> Path:
    """A version that answers otherwise, not yet in the repository but on the same disk."""
    artefact = context.folder / "next" / str(number) / "model.onnx"
    artefact.parent.mkdir(parents=True, exist_ok=True)
    build_small(artefact, seed=number)
    return artefact


def _answers(artefact: Path, payloads: tuple[Payload, ...]) -> tuple[tuple[bytes, ...], ...]:
    return tuple((right_answer(artefact, payload),) for payload in payloads)
