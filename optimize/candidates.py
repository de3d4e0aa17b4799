"""Makes, verifies and profiles candidates; what several of them begin with is made once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from optimize.applicable import cannot, no_graph
from optimize.artefact import served_file
from optimize.errors import OptimizeError
from optimize.foundation import Foundation
from optimize.gates import Gate
from optimize.judge import Trial, speed_gates
from optimize.plan import Candidate
from optimize.runner import Done, Runner
from optimize.sensitivity import SENSITIVITY
from optimize.steps.base import MODEL, Step
from optimize.steps.distil import RESULT

__all__ = ["Candidates"]


class Candidates:
    """What was made of one foundation so far, by the steps that made it."""

    def __init__(self, runner: Runner, foundation: Foundation) -> None:
        self._runner = runner
        self._foundation = foundation
        self._made: dict[tuple[Step, ...], Done | str] = {(): foundation.export}
        self._unsettled: list[Done] = []

    def forget_unsettled(self) -> None:
        """Let the next run measure again what did not settle in this one."""
        for each in self._unsettled:
            self._runner.cache.drop(each.key)

    def artefact(self, candidate: Candidate) -> Done:
        """What a candidate that was tried is made of."""
        made = self._made[candidate.steps]
        assert isinstance(made, Done), made
        return made

    def try_out(self, trial: Trial) -> None:
        """Make and verify a candidate, and profile it if it answers rightly."""
        artefact = self._make(trial.candidate)
        if isinstance(artefact, str):
            trial.skipped = artefact
            return
        if served_file(artefact.path) is None:
            trial.skipped = f"export: {no_graph(artefact.path)}"
            return
        trial.artefact_key = artefact.key
        trial.sensitivity = self._sensitivities(trial.candidate)
        trial.distil = self._distilled(trial.candidate)
        self._verify(trial, artefact)
        if trial.verdict == "pass":
            self._profile(trial, artefact)

    def _verify(self, trial: Trial, artefact: Done) -> None:
        settings, candidate = self._runner.settings, trial.candidate
        task = {
            "task": "verify",
            "lossy": candidate.lossy,
            "output": settings.output,
            "metrics": list(settings.metrics),
            "gates": settings.gates.model_dump(),
            "graph_level": candidate.graph_level,
            "unrounded": self._unrounded(candidate),
            **self._foundation.shared,
            "artefact": str(artefact.path),
        }
        reference = self._foundation.reference
        verified = self._runner.do(
            f"verify {candidate.artefact_name}", task, artefact.key, reference.key
        )
        result = json.loads((verified.path / "result.json").read_text())
        trial.gates = [_gate(each) for each in result["gates"]]
        trial.metrics, trial.errors = result["metrics"], result["errors"]

    def _profile(self, trial: Trial, artefact: Done) -> None:
        settings, candidate = self._runner.settings, trial.candidate
        baseline = self._baseline()
        task = {
            "task": "profile",
            "baseline": str(baseline.path),
            "threads": candidate.threads,
            "graph_level": candidate.graph_level,
            "batch_sizes": sorted({*settings.target.batch_sizes, settings.gates.at_batch}),
            "lengths": list(settings.target.shapes),
            **self._foundation.shared,
            "artefact": str(artefact.path),
        }
        profiled = self._runner.do(
            f"profile {candidate.name}",
            task,
            artefact.key,
            baseline.key,
            self._foundation.reference.key,
            key_also=self._runner.hardware,
        )
        trial.profile = json.loads((profiled.path / "result.json").read_text())
        file = served_file(baseline.path)
        assert file is not None
        trial.gates += speed_gates(trial, file.stat().st_size, settings.gates)
        if any(gate.verdict == "inconclusive" for gate in trial.gates):
            self._unsettled.append(profiled)

    def _make(self, candidate: Candidate) -> Done | str:
        """The candidate's graph, or why a step has nothing to do in it or cannot do it."""
        for count in range(1, len(candidate.steps) + 1):
            steps = candidate.steps[:count]
            if steps not in self._made:
                before = self._made[steps[:-1]]
                self._made[steps] = (
                    before if isinstance(before, str) else self._apply(steps[-1], before)
                )
        return self._made[candidate.steps]

    def _apply(self, step: Step, before: Done) -> Done | str:
        reason = step.unavailable() or cannot(step, before.path)
        if reason:
            return f"{step.kind}: {reason}"
        settings = self._runner.settings
        task = {
            "task": "step",
            "kind": step.kind,
            "parameters": step.model_dump(mode="json"),
            **self._foundation.shared,
            "artefact": str(before.path),
        }
        if step.shaped:
            task["batch_sizes"] = list(settings.target.batch_sizes)
        keys = [before.key, self._foundation.reference.key]
        if step.learns:
            lessons = self._lessons()
            task |= {
                "lessons": str(lessons.path),
                "output": settings.output,
                "metrics": list(settings.metrics),
            }
            keys.append(lessons.key)
        try:
            return self._runner.do(step.label(), task, *keys, key_also=step.target_key() or None)
        except OptimizeError as error:
            if error.__class__ is not OptimizeError or "disk" in error.problem:
                raise
            return str(error)

    def _lessons(self) -> Done:
        """What the original answers to the rows that students learn from; asked once for all."""
        data = self._runner.settings.data.model_dump()
        task = {"task": "teach", "data": data, **self._foundation.shared}
        return self._runner.do("teach", task, self._foundation.reference.key)

    def _baseline(self) -> Done:
        """What candidates are measured beside: the export, or else what was first made of it."""
        several = [each for each in self._made.values() if isinstance(each, Done)]
        return next(each for each in several if served_file(each.path) is not None)

    def _unrounded(self, candidate: Candidate) -> str | None:
        """The graph before the first step that rounds, if one does."""
        for count, step in enumerate(candidate.steps):
            if step.rounds:
                before = self._made[candidate.steps[:count]]
                return str(before.path / MODEL) if isinstance(before, Done) else None
        return None

    def _distilled(self, candidate: Candidate) -> dict[str, Any]:
        """How its student was trained, if it has one."""
        for step, made in self._steps_of(candidate):
            if step.learns:
                found: dict[str, Any] = json.loads((made.path / RESULT).read_text())
                return found
        return {}

    def _sensitivities(self, candidate: Candidate) -> list[dict[str, Any]]:
        """What each layer suffers from being quantised, if a step measured it."""
        for _, made in self._steps_of(candidate):
            if (made.path / SENSITIVITY).exists():
                found: list[dict[str, Any]] = json.loads((made.path / SENSITIVITY).read_text())
                return found
        return []

    def _steps_of(self, candidate: Candidate) -> Iterator[tuple[Step, Done]]:
        """Each step of a candidate with what it made."""
        for count, step in enumerate(candidate.steps, start=1):
            made = self._made[candidate.steps[:count]]
            if isinstance(made, Done):
                yield step, made


def _gate(data: dict[str, Any]) -> Gate:
    numbers = {name: float(data[name]) for name in ("limit", "value", "bound") if name in data}
    return Gate(data["name"], data["verdict"], **numbers, detail=data.get("detail", ""))
